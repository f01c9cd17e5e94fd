"""Two clocks in one bag: header stamps are the robot's, reception is the recorder's.

    header       |   |   |   |          offset = reception - header, at least the delay of the topic
    reception        |   |   |   |

What has no header (an instruction, an array of commands) is known by its reception alone. Where the clocks differ by
a constant, everything is moved onto the clock in the headers of the camera that leads; where the difference changes,
nothing can be aligned.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from policy.data.findings import Finding
from policy.errors import InputError
from policy.robot.contract import Contract
from policy.robot.message_types import JOINT_STATE, TRAJECTORY

JOINTS_LATE, IMAGES_LATE = 0.05, 0.25  # s that joints take at most, and all else; more is another clock
CHANGES = 0.1  # s that an offset of joints may change within a bag, with the load of a computer
WINDOWS, WINDOW = 20, 50  # parts of a bag that are compared, and the messages each should have
FLOOR = 0.05  # quantile of reception - header: the delay is least there
NONE = np.empty(0, np.int64)


class Alignment(NamedTuple):
    """What is added to times [ns] so that all are of one clock."""

    reception: int = 0
    headers: Mapping[str, int] = {}  # by topic


def align(
    bag: str, contract: Contract, times: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> tuple[Alignment, list[Finding]]:
    """How to bring the times of a bag onto one clock, and what was found.

    `times`: topic -> reception and header (N,) ns, 0 where a header is unset. `InputError` where the clocks drift.
    """
    joints: dict[str, int] = {}  # topic -> reception - header [ns]
    images: dict[str, int] = {}
    for topic, of_joints in _stamped(contract).items():
        received, header = times.get(topic, (NONE, NONE))
        known = header != 0
        if known.any():
            offset = _constant(bag, topic, received[known], header[known], CHANGES if of_joints else IMAGES_LATE)
            (joints if of_joints else images)[topic] = offset
    apart: dict[str, int] = {}  # topic -> reception - header, where that is no delay
    for base, topics in _clocks(joints, images):
        late = JOINTS_LATE if any(topic in joints for topic in topics) else IMAGES_LATE
        if not -JOINTS_LATE < base * 1e-9 < late:
            apart |= dict.fromkeys(topics, base)
    apart |= _trajectories(contract, times, apart)
    if not apart:
        return Alignment(), []
    lead = apart.get(next(iter(contract.cameras.values())).topic.lstrip("/"), 0)
    every = {*joints, *images, *(c.source.topic.lstrip("/") for c in contract.action)}
    headers = {topic: by for topic in sorted(every) if (by := apart.get(topic, 0) - lead)}
    figures = ", ".join(f"{topic} {-by * 1e-9:+.3f} s" for topic, by in sorted(apart.items()))
    do = "synchronise the clocks (chrony, or --use-sim-time), or give `stamp: receive` in the contract"
    return Alignment(-lead, headers), [
        Finding("warning", "header stamps are on another clock than reception, and were aligned", figures, do)
    ]


def _stamped(contract: Contract) -> dict[str, bool]:
    """Topics whose stamps are compared with their reception -> whether they hold joints, which come at once."""
    values = [*contract.state, *(c.source for c in contract.action if c.source.type != TRAJECTORY)]
    images = {c.topic.lstrip("/"): False for c in contract.cameras.values() if c.stamp == "header"}
    return images | {s.topic.lstrip("/"): s.type == JOINT_STATE for s in values if s.stamp == "header"}


def _constant(bag: str, topic: str, received: np.ndarray, header: np.ndarray, changes: float) -> int:
    """The offset of a topic [ns]; `InputError` if it changes within the bag."""
    offset = received - header
    parts = np.array_split(offset, int(np.clip(len(offset) // WINDOW, 1, WINDOWS)))
    floors = np.array([np.quantile(part, FLOOR) for part in parts])
    before, after = np.minimum.accumulate(floors), np.minimum.accumulate(floors[::-1])[::-1]
    # What is late for a while is a delay: before it and after it the least is the same.
    if np.abs(before[:-1] - after[1:]).max(initial=0) > changes * 1e9:
        raise InputError(
            f"{bag}: the clock in the headers of {topic} and the recorder's drift apart: reception is "
            f"{floors.min() * 1e-9:.3f} to {floors.max() * 1e-9:.3f} s after the header; record again with both on one "
            "clock (chrony, or --use-sim-time), or give `stamp: receive` in the contract"
        )
    return round(float(np.quantile(offset, FLOOR)))


def _clocks(joints: dict[str, int], images: dict[str, int]) -> list[tuple[int, list[str]]]:
    """(offset, topics) of each clock: joints that are close, the images that follow them closest, and the rest."""
    clocks = [(0, []), *_grouped(joints, JOINTS_LATE)]  # the first one is the recorder's
    alone = {}
    for topic, offset in images.items():
        near = [clock for clock in clocks if -JOINTS_LATE < (offset - clock[0]) * 1e-9 < IMAGES_LATE]
        if near:
            min(near, key=lambda clock: abs(offset - clock[0]))[1].append(topic)
        else:
            alone[topic] = offset
    return clocks + _grouped(alone, IMAGES_LATE)


def _grouped(offsets: dict[str, int], gap: float) -> list[tuple[int, list[str]]]:
    """Topics by offset, the least one first; a new group begins at a gap."""
    groups: list[tuple[int, list[str]]] = []
    last = 0
    for topic, offset in sorted(offsets.items(), key=lambda item: item[1]):
        if not groups or offset - last > gap * 1e9:
            groups.append((offset, []))
        groups[-1][1].append(topic)
        last = offset
    return groups


def _trajectories(
    contract: Contract, times: Mapping[str, tuple[np.ndarray, np.ndarray]], corrections: dict[str, int]
) -> dict[str, int]:
    """The same for trajectories, whose headers may ask for a later start: they take the clock that is nearest."""
    found = {}
    for topic in {c.source.topic.lstrip("/") for c in contract.action if c.source.type == TRAJECTORY}:
        received, header = times.get(topic, (NONE, NONE))
        if corrections and (header != 0).any():
            offset = float(np.median((received - header)[header != 0]))
            by = min([0, *corrections.values()], key=lambda clock: abs(clock - offset))
            if by:
                found[topic] = by
    return found
