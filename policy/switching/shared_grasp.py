"""Where two tasks hold the same object in the same grasp, so that a switch between them needs no rollback."""

import numpy as np

from policy.robot.contract import Contract
from policy.switching.demonstration import APPROACH_STEPS, Demonstration
from policy.switching.gripper import GRIPPER_CHANGE, action_range, grasp_at
from policy.switching.motion import PACE, steps_apart

SAME_GRASP = 0.28  # steps at full speed between two equal grasps, at most


def shared_grasp_step(contract: Contract, a: Demonstration, t: int, b: Demonstration) -> int | None:
    """The step of B at which to go on with what A holds at t; None if B does not grasp the same thing the same way.

    Among B's steps that carry it, the one from which B ends soonest: straight motion to it plus the rest of B.
    The last APPROACH_STEPS before B opens its gripper are excluded, because placing needs B's own motion.
    """
    ours = grasp_at(contract, a, t)
    if ours is None or t < ours.closed:
        return None
    for first, end in b.contacts():
        theirs = grasp_at(contract, b, first) or grasp_at(contract, b, end - 1)
        if theirs is None or not _equal(contract, a.state[ours.closed], b.state[theirs.closed]):
            continue
        steps = np.arange(theirs.closed, max(theirs.closed + 1, theirs.open - APPROACH_STEPS))
        distance = steps_apart(contract, b.state[steps], a.state[t]) / PACE
        return int(steps[np.argmin(distance + len(steps) - np.arange(len(steps)))])
    return None


def same_first_grasp(contract: Contract, a: Demonstration, onset: int, b: Demonstration) -> bool:
    """Whether A's contact that begins at `onset` begins in the joint positions of B's first one."""
    contacts = b.contacts()
    return bool(contacts) and _equal(contract, a.state[onset], b.state[contacts[0][0]])


def _equal(contract: Contract, state: np.ndarray, other: np.ndarray) -> bool:
    """Whether two states (A,) are the same grasp."""
    opening = (np.abs(state - other) / action_range(contract))[contract.grippers]
    return bool(steps_apart(contract, state, other) < SAME_GRASP and opening.max(initial=0) < GRIPPER_CHANGE)
