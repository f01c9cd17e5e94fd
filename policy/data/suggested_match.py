"""Which joints of the state a recorded command is of: by their names, of an array by how many and where they are."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from policy.data.contents import Topic
from policy.data.suggested_names import is_gripper, likeness
from policy.data.suggested_state import StateGroup
from policy.data.value_ranges import ValueRanges
from policy.robot.message_types import ARRAY

CLEARLY = 0.5  # of how far the ranges are apart in another order, or of another joint
FITS = 0.25  # of a joint's range that both ends of its command's may be off
STANDS = 1e-3  # the range of a joint that has not moved


class Joint(NamedTuple):
    """One joint of the state."""

    topic: str
    joint: str  # in the message
    name: str  # in the policy
    low: float  # of what was measured
    high: float
    speed: float


def joints_of(state: Sequence[StateGroup]) -> list[Joint]:
    """All of them, group by group."""
    return [
        Joint(group.topic, *one)
        for group in state
        for one in zip(
            group.joints, group.names, group.low.tolist(), group.high.tolist(), group.speed.tolist(), strict=True
        )
    ]


def matched(name: str, topic: Topic, joints: Sequence[Joint], taken: set[str]) -> list[Joint]:
    """The joint of each value of a command, of one topic of the state, the most alike first; empty where none fits.

    Joints that are `taken` by another command are not guessed from ranges.
    """
    assert topic.values is not None
    states: dict[str, list[Joint]] = {}
    for joint in sorted(joints, key=lambda joint: -likeness(joint.topic, name)):
        states.setdefault(joint.topic, []).append(joint)
    if topic.type == ARRAY:
        return _of_array(name, topic.values, list(states.values()), taken)
    for state in states.values():
        named = {joint.joint: joint for joint in state}
        if set(topic.values.names) <= set(named):
            return [named[joint] for joint in topic.values.names]
    return []


def _of_array(name: str, values: ValueRanges, states: list[list[Joint]], taken: set[str]) -> list[Joint]:
    """All joints of a topic, its grippers or its arm, as many as there are values; else those of these ranges."""
    parts = [
        [joint for joint in state if is_gripper(joint.joint) == grip] for state in states for grip in (True, False)
    ]
    choices = [(choice, True) for choice in states] + [(choice, False) for choice in parts if choice not in states]
    choices = [(choice, whole) for choice, whole in choices if len(choice) == len(values.names)]
    for choice, whole in choices:
        if _named_alike(name, choice, whole):
            return _ordered(values, choice)
    for choice, _ in choices:
        if (_apart(values, ordered := _ordered(values, choice)).diagonal() <= FITS * _spans(ordered)).all():
            return ordered
    return _nearest(values, [joint for state in states for joint in state if joint.name not in taken])


def _named_alike(name: str, choice: Sequence[Joint], whole: bool) -> bool:
    """Whether a command's name does not speak against these joints: an arm's are no gripper's."""
    grippers = all(is_gripper(joint.joint) or is_gripper(joint.topic) for joint in choice)
    return grippers if is_gripper(name) else whole or not grippers


def _ordered(values: ValueRanges, joints: list[Joint]) -> list[Joint]:
    """Which joint each value of an array is: by where their ranges lie, or in the order of the joint states."""
    given = (values.low + values.high) / 2
    measured = np.array([(joint.low + joint.high) / 2 for joint in joints])
    order = np.empty(len(given), int)
    order[given.argsort()] = measured.argsort()  # the best one for numbers on a line
    better = np.abs(given - measured[order]).sum() < CLEARLY * np.abs(given - measured).sum()
    return [joints[i] for i in order] if better else joints


def _nearest(values: ValueRanges, joints: Sequence[Joint]) -> list[Joint]:
    """The joint whose range is that of each value, none where one fits no joint, or two."""
    if len(joints) < len(values.names):
        return []
    apart = _apart(values, joints)
    best = apart.argmin(1)
    chosen = [joints[i] for i in best]
    others = apart.copy()
    others[np.arange(len(best)), best] = np.inf
    near = apart.min(1)
    clear = (near <= FITS * _spans(chosen)).all() and (near < CLEARLY * others.min(1)).all()
    return chosen if clear and len(set(best.tolist())) == len(best) else []


def _apart(values: ValueRanges, joints: Sequence[Joint]) -> np.ndarray:
    """How far both ends of the range of each value are from those of each joint, (values, joints)."""
    low, high = (np.array([getattr(joint, end) for joint in joints]) for end in ("low", "high"))
    apart: np.ndarray = np.abs(values.low[:, None] - low) + np.abs(values.high[:, None] - high)
    return apart


def _spans(joints: Sequence[Joint]) -> np.ndarray:
    return np.maximum([joint.high - joint.low for joint in joints], STANDS)
