"""When messages came: rates, gaps, cameras out of step, headers without a time, and commands that are rare.

camera front   |    |    |    |         |    |      a gap: one image is missing; a silence: all topics have one
camera wrist     |    |    |    |    |    |         out of step: the nearest image is dt / 2 away
"""

from collections.abc import Mapping, Sequence

import numpy as np

from policy.data.findings import Finding
from policy.data.survey import Times
from policy.robot.contract import Contract
from policy.robot.message_types import TRAJECTORY
from policy.robot.setpoints import HELD, SetPoints

SLOW_HZ = 5.0  # a slower command is a staircase
SLOWER = 0.9  # of the contract's rate
LOST = "this bag is not whole, as is said as well: what it has lost may be what is missing here"
GAP, MISSING = 1.75, 0.02  # of the median interval: a message is missing; the share that is reported
PAUSE = 0.5  # s without an image
OUT_OF_STEP, FRAMES = 0.6, 0.05  # of a step between the images of one frame, and the share of frames that have it
UNSET = 0.01  # of the messages
NONE = np.empty(0, np.int64)
SPARSE, CURVED = 0.5, 0.1  # s from one point of a trajectory to the next, and the share of the time that is so


def check_rates(contract: Contract, hertz: Mapping[str, float]) -> list[Finding]:
    """Topic -> median rate [Hz]: what is slower than the policy."""
    findings = []
    for name, camera in contract.cameras.items():
        if 0 < (rate := hertz.get(camera.topic.lstrip("/"), 0.0)) < SLOWER * contract.rate:
            findings.append(
                Finding(
                    "warning",
                    f"camera {name} is slower than the policy",
                    f"{rate:.3g} Hz, and the contract's rate is {contract.rate:g} Hz",
                    "lower `rate` to the camera's, or make it faster (more light, shorter exposure, fewer pixels)",
                )
            )
    for topic in dict.fromkeys(s.topic.lstrip("/") for s in contract.state):
        if 0 < (rate := hertz.get(topic, 0.0)) < SLOWER * contract.rate:
            findings.append(
                Finding(
                    "warning",
                    f"the state on {topic} is slower than the policy",
                    f"{rate:.3g} Hz, and the contract's rate is {contract.rate:g} Hz: a frame's state is up to "
                    f"{1 / rate:.2g} s old",
                    "raise the publish rate of the driver (joint_state_broadcaster), or lower `rate`",
                )
            )
    for c in contract.action:
        rate = hertz.get(c.source.topic.lstrip("/"), 0.0)
        if c.source.type != TRAJECTORY and 0 < rate < min(SLOW_HZ, contract.rate / 2):
            findings.append(
                Finding(
                    "warning",
                    f"commands on {c.source.topic} are rare",
                    f"{rate:.3g} Hz for a policy of {contract.rate:g} Hz: each is learned as held until the next",
                    "record what the controller makes of them, or lower `rate`",
                )
            )
    return list(dict.fromkeys(findings))


def check_gaps(contract: Contract, times: Mapping[str, np.ndarray], begin: int, whole: bool) -> list[Finding]:
    """Images that are missing between others, states that stay away, and times without any message.

    `times`: topic -> (N,) ns, rising, on the clock of `begin` [ns], which is when the bag begins. `whole`: whether it
    holds all that was recorded, so that neither its disk nor a driver is blamed for what it has lost since.
    """
    since, until = _silences(contract, times)
    findings = _check_silences(since, until, begin, whole)
    for name, camera in contract.cameras.items():
        at = times.get(camera.topic.lstrip("/"), NONE)
        gaps = np.diff(_without(since, until, at))
        if len(gaps) < 10 or (usual := float(np.median(gaps))) <= 0:
            continue
        longest = int(np.argmax(gaps))
        wide = gaps > GAP * usual
        missing = int((np.round(gaps[wide] / usual) - 1).sum())
        share = missing / (missing + len(at))
        if share > MISSING or gaps[longest] > max(PAUSE * 1e9, 5 * usual):
            findings.append(
                Finding(
                    "warning",
                    f"camera {name} has gaps",
                    f"about {missing} images of {missing + len(at)} are missing ({share:.1%}), expected one every "
                    f"{usual * 1e-9:.3g} s; the longest gap is {gaps[longest] * 1e-9:.2f} s",
                    "record on a faster disk, with a larger `--max-cache-size`, or with compressed images"
                    if whole
                    else LOST,
                    float(at[longest] - begin) * 1e-9,
                )
            )
    for source in {s.topic.lstrip("/"): s for s in contract.state}.values():
        at = times.get(source.topic.lstrip("/"), NONE)
        gaps = np.diff(_without(since, until, at))
        if not len(gaps) or gaps.max() <= source.max_age * 1e9:
            continue
        longest = int(np.argmax(gaps))
        findings.append(
            Finding(
                "warning",
                f"the state on {source.topic.lstrip('/')} has gaps",
                f"{int((gaps > source.max_age * 1e9).sum())} longer than max_age = {source.max_age:g} s, the longest "
                f"is {gaps[longest] * 1e-9:.2f} s: frames within are not used",
                "see why the driver paused; raise `max_age` only where the robot stood still" if whole else LOST,
                float(at[longest] - begin) * 1e-9,
            )
        )
    return findings


def _silences(contract: Contract, times: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """When all topics of the contract fell silent, and when the first of them was heard again, each (N,) ns."""
    topics = {topic.lstrip("/") for topic in (*contract.observed, *contract.commanded)}
    if not all(len(times.get(topic, NONE)) for topic in topics):
        return NONE, NONE
    lead = times[next(iter(contract.cameras.values())).topic.lstrip("/")]
    at = np.sort(np.concatenate([times[topic] for topic in topics]))
    usual = float(np.median(np.diff(lead))) if len(lead) > 1 else 0.0
    (silent,) = np.nonzero(np.diff(at) > max(PAUSE * 1e9, 5 * usual))
    return at[silent], at[silent + 1]


def _check_silences(since: np.ndarray, until: np.ndarray, begin: int, whole: bool) -> list[Finding]:
    if not len(since):
        return []
    longest = int(np.argmax(until - since))
    often = f"{len(since)} times, the longest " if len(since) > 1 else ""
    return [
        Finding(
            "warning",
            "nothing at all was recorded for a while",
            f"{often}for {(until - since)[longest] * 1e-9:.2f} s",
            "the recorder paused, or the clock was set ahead: see which, and record again; what was commanded before "
            "it is learned as held"
            if whole
            else LOST,
            float(since[longest] - begin) * 1e-9,
        )
    ]


def _without(since: np.ndarray, until: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Times (N,) ns as they were without the silences before them: these are no topic's own."""
    before = np.concatenate([[0], np.cumsum(until - since)])
    return np.asarray(at - before[np.searchsorted(until, at, side="right")])


def check_step(contract: Contract, times: Mapping[str, np.ndarray], begin: int) -> list[Finding]:
    """Cameras whose images are not of the time of the leading camera's; `times` and `begin` as for `check_gaps`."""
    (lead, camera), *others = contract.cameras.items()
    findings = []
    at = times.get(camera.topic.lstrip("/"), NONE)
    for name, camera in others:
        other = times.get(camera.topic.lstrip("/"), NONE)
        if len(at) < 2 or len(other) < 2:
            continue
        most = OUT_OF_STEP * max(contract.spec.dt_ns, float(np.median(np.diff(other))))
        after = np.clip(np.searchsorted(other, at), 1, len(other) - 1)
        apart = np.minimum(np.abs(other[after] - at), np.abs(at - other[after - 1]))
        late = apart > most
        if late.mean() > FRAMES:
            findings.append(
                Finding(
                    "warning",
                    f"cameras {lead} and {name} are out of step",
                    f"their images are {np.median(apart) * 1e-6:.0f} ms apart (median), and more than "
                    f"{most * 1e-6:.0f} ms in {late.mean():.0%} of the frames",
                    "give the cameras one rate, trigger them together, or see that their drivers stamp what they see "
                    "and not when they send it",
                    float(at[np.argmax(late)] - begin) * 1e-9,
                )
            )
    return findings


def check_headers(contract: Contract, topics: Mapping[str, Times]) -> list[Finding]:
    """Topics whose headers have no time though the contract reads it."""
    findings = []
    stamped = [s.topic.lstrip("/") for s in contract.cameras.values() if s.stamp == "header"]
    stamped += [s.topic.lstrip("/") for s in contract.state if s.stamp == "header"]
    for topic in dict.fromkeys(stamped):
        received, header = topics.get(topic, Times()).arrays()
        unset = float((header == 0).mean()) if len(header) else 0.0
        if unset > UNSET:
            findings.append(
                Finding(
                    "warning",
                    f"headers of {topic} have no time",
                    f"{unset:.0%} of {len(received)} messages, which are taken for as old as their reception",
                    "mend the driver's stamps, or give `stamp: receive` in the contract",
                )
            )
    return findings


def check_points(contract: Contract, commands: Sequence[SetPoints], begin: int) -> list[Finding]:
    """Trajectories of few points far apart: what is learned is the curve between them. `commands`: of each group."""
    findings = []
    for group, points in zip(contract.action, commands, strict=True):
        if len(points.times) < 2:
            continue
        span = np.diff(points.times) * 1e-9
        moves = (points.kinds[1:] != HELD) & (np.abs(np.diff(points.positions, axis=0)) > 1e-6).any(1)
        sparse = moves & (span > SPARSE)
        if span[sparse].sum() > CURVED * span.sum():
            findings.append(
                Finding(
                    "warning",
                    f"trajectories on {group.source.topic.lstrip('/')} have few points",
                    f"up to {span[sparse].max():.2g} s from one point to the next, {span[sparse].sum():.1f} s in all: "
                    "learned is the curve by which joint_trajectory_controller goes from point to point",
                    "if another controller moves the robot, record what that one commands, and read the action there",
                    float(points.times[:-1][np.argmax(sparse)] - begin) * 1e-9,
                )
            )
    return findings
