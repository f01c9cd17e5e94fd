"""Groups of the state, from the joint states of bags."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from policy.data.contents import Topic
from policy.data.suggested_names import commands, words
from policy.robot.message_types import JOINT_STATE

SAME = 0.02  # of a range by which two topics of the same joints may differ


class StateGroup(NamedTuple):
    """Joints that are in one message of a topic, and their names in the policy."""

    topic: str
    joints: tuple[str, ...]  # or paths, where the message names none
    names: tuple[str, ...]
    receive: bool  # its headers have no time
    low: np.ndarray  # (n,) of what was measured
    high: np.ndarray
    speed: np.ndarray  # per second


def state_groups(topics: Mapping[str, Topic]) -> tuple[list[StateGroup], list[str]]:
    """One group for each publisher on a topic that is no command's, and notes on what is not used."""
    found = [
        name for name, topic in topics.items() if topic.type == JOINT_STATE and _joints(topic) and not commands(name)
    ]
    if not found:  # the only joint states there are
        found = [name for name, topic in topics.items() if topic.type == JOINT_STATE and _joints(topic)]
    notes = [
        f"{name} is not used: none of its messages holds a position; let its driver fill `position`"
        for name, topic in sorted(topics.items())
        if topic.type == JOINT_STATE and not _joints(topic)
    ]
    kept = list[str]()
    for name in sorted(found, key=lambda name: (-len(_joints(topics[name])), name)):
        if double := next((other for other in kept if _repeats(topics[name], topics[other])), None):
            notes.append(f"{name} is not used: {double} has the same joints")
        else:
            kept.append(name)
    joints = [joint for name in kept for joint in _joints(topics[name])]
    alike = {joint for joint in joints if joints.count(joint) > 1}
    groups = []
    for name in sorted(kept):
        values = topics[name].values
        assert values is not None
        prefix = _prefix(name, kept)
        for of in values.together:
            places = [values.names.index(joint) for joint in of]
            named = [joint if "[" not in joint else f"joint_{i + 1}" for i, joint in enumerate(of)]
            names = tuple(f"{prefix}_{n}" if joint in alike else n for n, joint in zip(named, of, strict=True))
            receive = topics[name].stamped and not topics[name].headers
            ranges = (values.low[places], values.high[places], values.speed[places])
            groups.append(StateGroup(name, of, names, receive, *ranges))
    return groups, notes


def _joints(topic: Topic) -> tuple[str, ...]:
    """That have a position; none where no message holds one."""
    return topic.values.names if topic.values else ()


def _repeats(one: Topic, other: Topic) -> bool:
    """Whether a topic has no joint that another has not, of the same values."""
    if not set(_joints(one)) <= set(_joints(other)):
        return False
    assert one.values is not None and other.values is not None
    places = [other.values.names.index(joint) for joint in one.values.names]
    span = np.maximum(other.values.high[places] - other.values.low[places], 1e-3)
    apart = np.maximum(
        np.abs(one.values.low - other.values.low[places]), np.abs(one.values.high - other.values.high[places])
    )
    return bool((apart <= SAME * span).all())


def _prefix(name: str, others: list[str]) -> str:
    """The words of a topic that not all have: left of follower_left/joint_states."""
    common = set.intersection(*(set(words(other)) for other in others))
    return "_".join(word for word in words(name) if word not in common) or "robot"
