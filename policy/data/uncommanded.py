"""Joints that move and that no action commands: a policy would leave them where they are.

state    j7  0.1 .. 0.8      action  j1 .. j6      a demonstrator moved j7 by a command that the contract does not name
"""

import numpy as np

from policy.data.findings import Finding
from policy.data.suggested_names import is_gripper
from policy.robot.contract import Contract
from policy.robot.message_types import JOINT_STATE
from policy.robot.sources import Source

FAR = 0.2  # of the furthest value: what moves less is noise, in any unit
LEAST, LEAST_GRIPPER = 0.1, 0.002  # rad, m
FOLLOWS = 0.99  # correlation of a finger with the one that drives it


def moves(name: str, low: float, high: float) -> bool:
    """Whether a joint is moved over much of its range, by the range of its values."""
    least = LEAST_GRIPPER if is_gripper(name) else LEAST
    return high - low > max(least, FAR * max(abs(low), abs(high)))


def check_uncommanded(contract: Contract, stamps: np.ndarray, state: np.ndarray, begin: int) -> list[Finding]:
    """One recording: stamps (N,) ns, state (N, S) as the policy reads it, and when it begins [ns]."""
    of_hand = any(c.kind in ("pose", "twist") for c in contract.action)  # it moves all joints but the grippers
    commanded = {name for c in contract.action for name in (*c.spec_names, *c.joints, *c.measured_names)}
    positions = {name for source in contract.state if _positions(source) for name in source.spec_names}
    column = {name: state[:, i].astype(np.float64) for i, name in enumerate(contract.spec.state)}
    fingers = [column[name] for name in commanded & positions if is_gripper(name)]
    found = [
        f"{name} from {values.min():.4g} to {values.max():.4g}"
        for name, values in column.items()
        if name in positions - commanded
        and (is_gripper(name) or not of_hand)
        and moves(name, float(values.min()), float(values.max()))
        and not (is_gripper(name) and any(_follows(values, finger) for finger in fingers))
    ]
    if not found:
        return []
    return [
        Finding(
            "warning",
            "joints move that no action names",
            f"{', '.join(found)}; the policy sees them and will not move them",
            "add what commands them to `action` in the contract (docs/commands.md), and record it; or leave them out "
            "of `state` if they only follow others",
            float(stamps[0] - begin) * 1e-9,
        )
    ]


def _positions(source: Source) -> bool:
    """Whether it reads positions of joints."""
    by_place = all(path.startswith("position[") for path in source.fields)
    return source.type == JOINT_STATE and source.field == "position" and by_place


def _follows(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.ptp(other) > 0 and abs(np.corrcoef(one, other)[0, 1]) > FOLLOWS)
