"""What is wrong with recorded data, before anything is learnt from it: pure functions of arrays.

`policy.train` prints the findings and refuses data with an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from policy.robot.contract import Contract
from policy.robot.message_types import TRAJECTORY

DEGREE = 180 / np.pi
NEAR_TURN = 0.08  # of a turn: a difference this close to a whole one is one
RADIANS = 4 * np.pi  # limits beyond this are in degrees
BEYOND = 0.5  # of a joint's range: what lies further outside its limits is in another unit
RARE = 0.01  # of the frames: what is rarer is reported and no reason to refuse
MOVES = 0.05  # of a joint's range: less does not show its scale
FAR = 0.25  # of a joint's range between command and state
SLOPES, WRONG_SLOPES = (0.5, 2.0), (0.2, 5.0)  # how far a state may move for its command; beyond, it is an error
LIKENESS = 0.9  # correlation from which a state follows its command at all
SLOW_HZ = 5.0  # a slower command is a staircase
LISTED = 3  # bags that a summary names


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: how badly, what, where with which figures, and what to do."""

    severity: Literal["error", "warning"]
    what: str
    figures: str
    do: str

    def __str__(self) -> str:
        return f"{self.what}: {self.figures}; {self.do}"


def check_rates(contract: Contract, hertz: dict[str, float]) -> list[Finding]:
    """Topic -> median rate [Hz]: whether chunks last from one image to the next, and commands are dense enough."""
    findings = []
    name, lead = next(iter(contract.cameras.items()))
    chunk = contract.horizon / contract.rate
    image = hertz.get(lead.topic.lstrip("/"), 0.0)
    if image and 1 / image > chunk + 0.5 / contract.rate:
        findings.append(
            Finding(
                "error",
                f"camera {name} is too slow for the policy",
                f"an image every {1 / image:.3g} s, and a chunk of {contract.horizon} actions at {contract.rate:g} Hz "
                f"lasts {chunk:.3g} s",
                "raise `horizon` or lower `rate` in the contract, or record a faster camera",
            )
        )
    for c in contract.action:
        rate = hertz.get(c.source.topic.lstrip("/"), 0.0)
        if c.source.type != TRAJECTORY and 0 < rate < min(SLOW_HZ, contract.rate / 2):
            findings.append(
                Finding(
                    "warning",
                    f"commands on {c.source.topic} are rare",
                    f"{rate:.3g} Hz for a policy of {contract.rate:g} Hz: each is learnt as held until the next",
                    "record what the controller makes of them, or lower `rate`",
                )
            )
    return findings


def check_whole(missing: dict[str, int], frames: int) -> list[Finding]:
    """What a bag promises and does not hold: reason -> messages; `frames` are used all the same."""
    what = "a bag is not whole"
    return [
        Finding("warning", what, f"{n} x {reason}; {frames} frames are used", "record it again if that is too little")
        for reason, n in missing.items()
    ]


def check_motion(contract: Contract, stamps: np.ndarray, state: np.ndarray, actions: np.ndarray) -> list[Finding]:
    """Units and wraps of one recording: stamps (N,) ns, state (N, S), actions (N, A) as the policy reads them."""
    spec, limits, findings = contract.spec, contract.limits, []
    followed = np.diff(stamps) < 2 * spec.dt_ns
    for j, joint in enumerate(spec.action):
        measured, commanded = (x.astype(np.float64) for x in (state[:, spec.state.index(joint)], actions[:, j]))
        low, high, gripper = float(limits.low[j]), float(limits.high[j]), bool(contract.grippers[j])
        units = _units(joint, measured, commanded, low, high, gripper)
        wraps = [] if units or gripper else _wraps(joint, measured, commanded, followed, _turn(low, high))
        if not units and not wraps and not gripper:
            wraps = _too_fast(joint, stamps, measured, commanded, float(limits.velocity[j]), followed)
        findings += units + wraps
    return findings


def merge(findings: Sequence[tuple[str, Finding]]) -> list[Finding]:
    """(bag, finding) of many bags as one finding a kind, errors first."""
    kinds: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for bag, one in findings:
        kinds.setdefault((one.severity, one.what, one.do), []).append((bag, one.figures))
    merged = []
    for (severity, what, do), cases in sorted(kinds.items()):
        figures = "; ".join(f"{bag}: {figures}" if bag else figures for bag, figures in cases[:LISTED])
        more = f"; and {len(cases) - LISTED} more bags" if len(cases) > LISTED else ""
        merged.append(Finding("error" if severity == "error" else "warning", what, figures + more, do))
    return merged


def _units(
    joint: str, measured: np.ndarray, commanded: np.ndarray, low: float, high: float, gripper: bool
) -> list[Finding]:
    """Values that the limits do not allow, and an arm that follows its command on another scale."""
    findings, span = [], high - low
    for what, values in (("state", measured), ("command", commanded)):
        outside = (values < low - BEYOND * span) | (values > high + BEYOND * span)
        if outside.mean() > RARE:
            ratio = float(np.abs(values).max()) / max(abs(low), abs(high))
            hint = " (degrees?)" if 0.2 * DEGREE < ratio < 2 * DEGREE else ""
            findings.append(
                Finding(
                    "error",
                    f"{what} of {joint} is in another unit than its limits{hint}",
                    f"it runs from {values.min():.4g} to {values.max():.4g}, the contract's limits are {low:g} and "
                    f"{high:g}, and {outside.mean():.0%} of the frames are beyond",
                    f"give `scale` ({1 / DEGREE:.6f} from degrees to radians) and `offset` in the contract, or correct "
                    "its limits",
                )
            )
    if (
        findings
        or gripper
        or min(np.ptp(measured), np.ptp(commanded)) == 0
        or max(np.ptp(measured), np.ptp(commanded)) < MOVES * span
    ):
        return findings
    likeness = float(np.corrcoef(measured, commanded)[0, 1])
    slope = float(np.std(measured) / np.std(commanded)) * (1 if likeness > 0 else -1)
    if abs(likeness) > LIKENESS and not SLOPES[0] < slope < SLOPES[1]:
        findings.append(
            Finding(
                "warning" if WRONG_SLOPES[0] < slope < WRONG_SLOPES[1] else "error",
                f"state and command of {joint} are on different scales",
                f"the state moves {slope:.3g} times as far as the command",
                "give `scale` in the contract for the one that is not in the policy's unit; mark a gripper as one",
            )
        )
    apart = float(np.median(np.abs(commanded - measured)))
    if not findings and apart > FAR * span and not _whole_turns(commanded - measured, _turn(low, high)).any():
        findings.append(
            Finding(
                "warning",
                f"state and command of {joint} are far apart",
                f"{apart:.3g} in half of the frames, its range is {span:.3g}",
                "compare the joints' order, names and `offset` in the contract with the robot's",
            )
        )
    return findings


def _wraps(joint: str, measured: np.ndarray, commanded: np.ndarray, followed: np.ndarray, turn: float) -> list[Finding]:
    """Whole turns between state and command, and within each from one frame to the next."""
    apart = commanded - measured
    turns = _whole_turns(apart, turn)
    findings = []
    if turns.any():
        findings.append(
            Finding(
                "error" if turns.mean() > RARE else "warning",
                f"state and command of {joint} are whole turns apart",
                f"{np.abs(apart[turns]).max():.2f} in {turns.mean():.1%} of the frames (the state runs from "
                f"{measured.min():.2f} to {measured.max():.2f}, the command from {commanded.min():.2f} to "
                f"{commanded.max():.2f})",
                "the driver wraps one of them at a half turn: let it count on, or leave these recordings out",
            )
        )
    for what, values in (("state", measured), ("command", commanded)):
        jumps = _whole_turns(np.diff(values), turn) & followed
        if jumps.any() and not findings:
            findings.append(
                Finding(
                    "error",
                    f"{what} of {joint} wraps",
                    f"{jumps.sum()} jumps of a whole turn from one frame to the next, between {values.min():.2f} and "
                    f"{values.max():.2f}",
                    "let the driver count on, or leave these recordings out",
                )
            )
    return findings


def _too_fast(
    joint: str, stamps: np.ndarray, measured: np.ndarray, commanded: np.ndarray, limit: float, followed: np.ndarray
) -> list[Finding]:
    if not followed.any():
        return []
    seconds = np.diff(stamps)[followed] * 1e-9
    fastest = {
        what: float(np.quantile(np.abs(np.diff(values))[followed] / seconds, 0.99))
        for what, values in (("state", measured), ("command", commanded))
    }
    return [
        Finding(
            "warning",
            f"{what} of {joint} is faster than the contract allows",
            f"{speed:.3g} per second in 1 % of the frames, velocity_max is {limit:g}",
            "check its unit, and `velocity_max` in the contract",
        )
        for what, speed in fastest.items()
        if speed > 3 * limit
    ]


def _turn(low: float, high: float) -> float:
    """A whole turn in the unit of a joint's limits."""
    return 2 * np.pi if max(abs(low), abs(high)) <= RADIANS else 360.0


def _whole_turns(differences: np.ndarray, turn: float) -> np.ndarray:
    turns = np.round(differences / turn)
    whole: np.ndarray = (turns != 0) & (np.abs(differences / turn - turns) < NEAR_TURN)
    return whole
