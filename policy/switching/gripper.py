"""What the gripper of a demonstration does: when its command changes, what it holds, when it has released it."""

from typing import NamedTuple

import numpy as np

from policy.robot.contract import Contract
from policy.switching.demonstration import Demonstration

GRIPPER_CHANGE = 0.05  # of a gripper's range: a smaller difference is no change of its command
GRIPPER_STEPS = 8  # steps that a gripper takes to open or to close


class Grasp(NamedTuple):
    """Steps of a grasp: the command to close, the gripper closed on the object, the command to open."""

    close: int
    closed: int
    open: int


def action_range(contract: Contract) -> np.ndarray:
    """High minus low limit of each action (A,)."""
    span: np.ndarray = contract.limits.high - contract.limits.low
    return span


def command_changes(contract: Contract, row: np.ndarray, other: np.ndarray) -> bool:
    """Whether any gripper's command differs between two rows of actions (A,)."""
    return bool((np.abs(row - other) / action_range(contract) > GRIPPER_CHANGE)[contract.grippers].any())


def has_released(contract: Contract, demo: Demonstration, t: int) -> bool:
    """Whether the last gripper command within the contact that holds at t opens: the task is (nearly) done."""
    onset = demo.onset(t)
    begin = t if onset is None else onset
    changes = [k for k in range(begin + 1, t + 1) if command_changes(contract, demo.actions[k], demo.actions[k - 1])]
    if not changes:
        return False
    change = (demo.actions[changes[-1]] - demo.actions[changes[-1] - 1]) / action_range(contract)
    return bool(change[contract.grippers].sum() > 0)


def grasp_at(contract: Contract, demo: Demonstration, t: int) -> Grasp | None:
    """The grasp that holds at step t; None without a gripper, with an open or an empty one."""
    if not contract.grippers.any():
        return None
    actions = demo.actions
    changes = [k for k in range(1, len(actions)) if command_changes(contract, actions[k], actions[k - 1])]
    before, after = [k for k in changes if k <= t], [k for k in changes if k > t]
    if not before or not after:
        return None
    closing = actions[before[-1]] < actions[before[-1] - 1]
    closed = before[-1] + GRIPPER_STEPS
    if not (closing & contract.grippers).any() or closed >= after[0]:
        return None
    # A gripper that reaches its commanded opening holds nothing.
    empty = np.abs(demo.state[closed] - actions[closed]) / action_range(contract) < GRIPPER_CHANGE
    return None if empty[contract.grippers].all() else Grasp(before[-1], closed, after[0])
