"""Which switch a recorded episode gives: where the instruction changes, to which task, and in which frames.

    early   before the first contact       back to where the approach began
    mid     in contact                     back until the hand is free of the object; if it was released: retreat
    late    up to AFTER the last contact   retreat

Where another task begins close to this episode's start, the reversed frames lead on to that start.
"""

from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np

from policy.robot.contract import Contract
from policy.switching.demonstration import Demonstration
from policy.switching.gripper import has_released
from policy.switching.motion import BLEND_STEPS, steps_apart
from policy.switching.reverse import Segment, forward_segment, retreat_segment, reverse_segment

PHASES = ("early", "mid", "late")
AFTER = 1.0  # s after the last contact in which a switch is late
BEFORE = (0.5, 1.0)  # s kept before the onset of the contact, or else before the switch
SAME_START = 1.8  # steps at full speed: two episodes whose first states are this close have the same start
FIRST_STEP = 3  # the earliest step of a switch


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded episode without its images."""

    name: str  # of what it was recorded in
    number: int  # of the episode in it
    instruction: str
    task: str  # the label, or the instruction where there is none
    stamps: np.ndarray  # int64 (T,) ns
    demo: Demonstration


@dataclass(frozen=True, slots=True)
class PlannedSwitch:
    """Frames of one recording in a new order, and the recording whose instruction takes over."""

    recording: Recording
    other: Recording
    phase: str
    segments: tuple[Segment, Segment]  # before the switch, after it
    bag: Path  # to write

    @property
    def frames(self) -> list[int]:
        """Recorded steps, in the order of the switch."""
        return self.segments[0].frames + self.segments[1].frames


class NotPossible(Exception):
    """No switch can be made here; the message is the reason that is counted."""


def plan_switch(
    recording: Recording, phase: str, recordings: list[Recording], bag: Path, contract: Contract
) -> PlannedSwitch:
    """One switch from a recording to another task's, drawn from the name of the bag; `NotPossible` if there is none."""
    demo, rng = recording.demo, np.random.default_rng(crc32(bag.name.encode()))
    contacts = demo.contacts()
    last = contacts[-1][1]
    steps = {
        "early": np.arange(FIRST_STEP, contacts[0][0]),
        "mid": np.concatenate([np.arange(*contact) for contact in contacts]),
        "late": np.arange(last, min(last + round(AFTER * contract.rate), len(demo.state))),
    }[phase]
    if not len(steps):
        raise NotPossible("no step of this phase")
    t = int(rng.choice(steps))
    other, same_start = _other_task(recording, recordings, contract, rng)
    retreats = phase == "late" or has_released(contract, demo, t)
    after = retreat_segment(demo, t) if retreats else reverse_segment(contract, demo, t, to_start=same_start)
    if after is None or len(after.frames) < BLEND_STEPS:
        raise NotPossible("the hand is free already")
    onset = demo.onset(t)
    begin = t - round(BEFORE[1] * contract.rate) if onset is None else onset - round(BEFORE[0] * contract.rate)
    segments = forward_segment(demo, max(0, begin), t), after
    _check(recording, segments, contract)
    return PlannedSwitch(recording, other, phase, segments, bag)


def _other_task(
    recording: Recording, recordings: list[Recording], contract: Contract, rng: np.random.Generator
) -> tuple[Recording, bool]:
    """A recording of another task and whether it has the same start; those with the same start come first."""
    by_task: dict[str, list[tuple[float, Recording]]] = {}
    for other in recordings:
        if other.task != recording.task:
            difference = float(steps_apart(contract, other.demo.state[0], recording.demo.state[0]))
            by_task.setdefault(other.task, []).append((difference, other))
    nearest = [min(others, key=lambda pair: pair[0]) for _, others in sorted(by_task.items())]
    same_start = [pair for pair in nearest if pair[0] < SAME_START]
    candidates = same_start or nearest
    difference, chosen = candidates[rng.integers(len(candidates))]
    return chosen, difference < SAME_START


def _check(recording: Recording, segments: tuple[Segment, Segment], contract: Contract) -> None:
    """`NotPossible` where frames are missing or a limit of the contract is passed."""
    limits, frames = contract.limits, np.array(segments[0].frames + segments[1].frames)
    used = recording.stamps[frames.min() : frames.max() + 1]
    if (np.diff(used) > 1.5 * contract.spec.dt_ns).any():
        raise NotPossible("frames are missing")
    actions = np.concatenate([segments[0].actions, segments[1].actions])
    if (actions < limits.low - 1e-4).any() or (actions > limits.high + 1e-4).any():
        raise NotPossible("a set-point is beyond its limits")
    # The arm's recorded states: `blend` limits the set-points, and the gripper's set-points may jump.
    moved = np.abs(np.diff(recording.demo.state[frames], axis=0))[:, ~contract.grippers]
    if (moved > limits.velocity[~contract.grippers] / contract.rate).any():
        raise NotPossible("the arm is faster than its limits")
