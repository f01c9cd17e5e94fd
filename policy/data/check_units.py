"""Joints in another unit than their limits, on another scale than their command, or that wrap at a half turn."""

import numpy as np

from policy.data.findings import Finding
from policy.data.joint_motion import JointMotion

DEGREE = 180 / np.pi
NEAR_TURN = 0.08  # of a turn: a difference this close to a whole one is one
RADIANS = 4 * np.pi  # limits beyond this are in degrees
BEYOND = 0.5  # of a joint's range: what lies further outside its limits is in another unit
RARE = 0.01  # of the frames: what is rarer is reported and no reason to refuse
SHOWN = 2.0  # s: in a shorter recording how far a state lags behind its command looks like another scale
MOVES = 0.05  # of a joint's range: less does not show its scale
FAR = 0.25  # of a joint's range between command and state
SLOPES, WRONG_SLOPES = (0.5, 2.0), (0.2, 5.0)  # how far a state may move for its command; beyond, it is an error
LIKENESS = 0.9  # correlation from which a state follows its command at all


def check_units(joint: JointMotion) -> list[Finding]:
    """Values that the limits do not allow, and an arm that follows its command on another scale."""
    findings, span, low, high = [], joint.span, joint.low, joint.high
    for what, values in (("state", joint.measured), ("command", joint.commanded)):
        if values is None:
            continue
        outside = (values < low - BEYOND * span) | (values > high + BEYOND * span)
        if outside.mean() > RARE:
            ratio = float(np.abs(values).max()) / max(abs(low), abs(high))
            hint = " (degrees?)" if 0.2 * DEGREE < ratio < 2 * DEGREE else ""
            findings.append(
                Finding(
                    "error",
                    f"{what} of {joint.name} is in another unit than its limits{hint}",
                    f"it runs from {values.min():.4g} to {values.max():.4g}, the contract's limits are {low:g} and "
                    f"{high:g}, and {outside.mean():.0%} of the frames are beyond",
                    f"give `scale` ({1 / DEGREE:.6f} from degrees to radians) and `offset` in the contract, or correct "
                    "its limits",
                    float(joint.at[np.argmax(outside)]),
                )
            )
    return findings or _scales(joint)


def _scales(joint: JointMotion) -> list[Finding]:
    """A state that moves less or more than its command, or elsewhere."""
    measured, commanded, span = joint.measured, joint.commanded, joint.span
    if measured is None or joint.gripper or min(np.ptp(measured), np.ptp(commanded)) == 0:
        return []
    if joint.at[-1] - joint.at[0] < SHOWN or max(np.ptp(measured), np.ptp(commanded)) < MOVES * span:
        return []
    findings = []
    likeness = float(np.corrcoef(measured, commanded)[0, 1])
    slope = float(np.std(measured) / np.std(commanded)) * (1 if likeness > 0 else -1)
    if abs(likeness) > LIKENESS and not SLOPES[0] < slope < SLOPES[1]:
        findings.append(
            Finding(
                "warning" if WRONG_SLOPES[0] < slope < WRONG_SLOPES[1] else "error",
                f"state and command of {joint.name} are on different scales",
                f"the state moves {slope:.3g} times as far as the command",
                "give `scale` in the contract for the one that is not in the policy's unit; mark a gripper as one",
            )
        )
    apart = float(np.median(np.abs(commanded - measured)))
    if not findings and apart > FAR * span and not _whole_turns(commanded - measured, _turn(joint)).any():
        findings.append(
            Finding(
                "warning",
                f"state and command of {joint.name} are far apart",
                f"{apart:.3g} in half of the frames, its range is {span:.3g}",
                "compare the joints' order, names and `offset` in the contract with the robot's",
            )
        )
    return findings


def check_wraps(joint: JointMotion) -> list[Finding]:
    """Whole turns between state and command, and within each from one frame to the next."""
    measured, commanded, turn = joint.measured, joint.commanded, _turn(joint)
    findings = []
    if measured is not None and (turns := _whole_turns(commanded - measured, turn)).any():
        apart = commanded - measured
        findings.append(
            Finding(
                "error" if turns.mean() > RARE else "warning",
                f"state and command of {joint.name} are whole turns apart",
                f"{np.abs(apart[turns]).max():.2f} in {turns.mean():.1%} of the frames (the state runs from "
                f"{measured.min():.2f} to {measured.max():.2f}, the command from {commanded.min():.2f} to "
                f"{commanded.max():.2f})",
                "the driver wraps one of them at a half turn: give `continuous: true` for this joint in the contract",
                float(joint.at[np.argmax(turns)]),
            )
        )
    for what, values in (("state", measured), ("command", commanded)):
        if values is None:
            continue
        jumps = _whole_turns(np.diff(values), turn) & joint.steps
        if jumps.any() and not findings:
            findings.append(
                Finding(
                    "error",
                    f"{what} of {joint.name} wraps",
                    f"{jumps.sum()} jumps of a whole turn from one frame to the next, between {values.min():.2f} and "
                    f"{values.max():.2f}",
                    "give `continuous: true` for this joint in the contract, or let the driver count on",
                    float(joint.at[1:][np.argmax(jumps)]),
                )
            )
    return findings


def _turn(joint: JointMotion) -> float:
    """A whole turn in the unit of a joint's limits."""
    return 2 * np.pi if max(abs(joint.low), abs(joint.high)) <= RADIANS else 360.0


def _whole_turns(differences: np.ndarray, turn: float) -> np.ndarray:
    turns = np.round(differences / turn)
    whole: np.ndarray = (turns != 0) & (np.abs(differences / turn - turns) < NEAR_TURN)
    return whole
