"""Joints that do not fit the contract, or their commands: limits, wraps, speeds, and states that do not follow.

command   __/~~~~~~\\__            ~~~~\\____
state     ___/~~~~~~\\_   follows   ________   stands still: its command would be learned all the same
"""

import numpy as np

from policy.data.check_units import check_units, check_wraps
from policy.data.findings import Finding
from policy.data.joint_motion import JointMotion, joints, longest
from policy.robot.contract import Contract

RARE = 0.01  # of the frames: what is rarer is no reason to report
EDGE = 0.01  # of a joint's range beyond its limits is rounding
COMMAND_FASTER, STATE_FASTER = 1.1, 1.5  # times velocity_max: a state is noisy
OFF = 1.0  # s that a joint may be away from its command
MOVES, STANDS = 0.2, 0.1  # of a joint's range that a command travels, and of that travel which a state must follow


def check_motion(
    contract: Contract, stamps: np.ndarray, state: np.ndarray, actions: np.ndarray, begin: int | None = None
) -> list[Finding]:
    """One recording: stamps (N,) ns, state (N, S), actions (N, A) as the policy reads them, and when it begins [ns]."""
    findings = []
    for joint in joints(contract, stamps, state, actions, int(stamps[0]) if begin is None else begin):
        units = check_units(joint)
        wraps = [] if units or joint.gripper else check_wraps(joint)
        findings += units + wraps
        if not units and not wraps:
            findings += _beyond_limits(joint) + _follows(joint) + ([] if joint.gripper else _too_fast(joint))
    return findings


def _beyond_limits(joint: JointMotion) -> list[Finding]:
    edge = EDGE * joint.span
    beyond = (joint.commanded < joint.low - edge) | (joint.commanded > joint.high + edge)
    if not beyond.any():
        return []
    return [
        Finding(
            "warning",
            f"set-points of {joint.name} are beyond its limits",
            f"they run from {joint.commanded.min():.4g} to {joint.commanded.max():.4g} and are beyond {joint.low:g} to "
            f"{joint.high:g} in {beyond.mean():.1%} of the frames",
            "correct position_min and position_max if the robot allows it; else they are cut to the limits when the "
            "policy runs, and it does less than the demonstration",
            float(joint.at[np.argmax(beyond)]),
        )
    ]


def _too_fast(joint: JointMotion) -> list[Finding]:
    findings = []
    seconds = np.diff(joint.at)
    for what, values, faster in (
        ("state", joint.measured, STATE_FASTER),
        ("command", joint.commanded, COMMAND_FASTER),
    ):
        if values is None or not joint.steps.any():
            continue
        speed = np.where(joint.steps, np.abs(np.diff(values)) / np.maximum(seconds, 1e-9), 0.0)
        fast = speed > faster * joint.velocity
        if fast.mean() > RARE:
            findings.append(
                Finding(
                    "warning",
                    f"{what} of {joint.name} is faster than the contract allows",
                    f"up to {speed.max():.3g} per second, and more than velocity_max = {joint.velocity:g} in "
                    f"{fast.mean():.1%} of the steps",
                    "check its unit, and `velocity_max` in the contract: a policy that runs is slowed down to that",
                    float(joint.at[np.argmax(fast)]),
                )
            )
    return findings


def _follows(joint: JointMotion) -> list[Finding]:
    """A state that stands while its command travels, or is away from its command for long."""
    if joint.measured is None:
        return []
    travelled = float(np.ptp(joint.commanded))
    if travelled > MOVES * joint.span and np.ptp(joint.measured) < STANDS * travelled:
        return [
            Finding(
                "warning" if joint.gripper else "error",
                f"state of {joint.name} does not follow its command",
                f"the command travels {travelled:.3g}, the state {np.ptp(joint.measured):.3g}",
                "see that the joint is powered, that its driver publishes what it measures, and that the contract reads"
                " the command that the robot was given",
                float(joint.at[0]),
            )
        ]
    if joint.gripper:  # what it holds keeps it from its command
        return []
    off = np.abs(joint.commanded - joint.measured) > joint.tracking
    begin, end = longest(off)
    seconds = float(joint.at[end - 1] - joint.at[begin]) if end > begin else 0.0
    if seconds < OFF:
        return []
    apart = float(np.abs(joint.commanded - joint.measured)[begin:end].max())
    return [
        Finding(
            "warning",
            f"{joint.name} does not reach its command",
            f"for {seconds:.1f} s they are up to {apart:.3g} apart, and tracking_max is {joint.tracking:.3g}; "
            f"{off.mean():.0%} of the frames are so",
            "leave these recordings out if the arm was blocked or switched off, or raise `tracking_max`",
            float(joint.at[begin]),
        )
    ]
