"""Groups of the action, from the commands of bags."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from policy.data.contents import Topic
from policy.data.suggested_names import commands, is_gripper, likeness
from policy.data.suggested_state import StateGroup
from policy.robot.message_types import ARRAY, JOINT_STATE, TRAJECTORY

NEXT_STATE = "next_state"
CLEARLY = 0.5  # of how far the ranges are apart in the order of the joint states
Range = tuple[np.ndarray, np.ndarray, np.ndarray]  # lowest, highest, fastest, (n,) each


class CommandGroup(NamedTuple):
    """Joints that are commanded together."""

    topic: str  # where a robot listens
    source: str  # where a demonstration's action is read: another topic, NEXT_STATE, or "" for the same topic
    joints: tuple[str, ...]  # in the message
    names: tuple[str, ...]  # in the policy
    indices: tuple[int, ...]  # in a message without names
    gripper: bool
    low: np.ndarray  # (n,) of state and command
    high: np.ndarray
    speed: np.ndarray  # per second


def command_groups(topics: Mapping[str, Topic], state: Sequence[StateGroup]) -> tuple[list[CommandGroup], list[str]]:
    """Groups of the commands that fit the state, and notes on those that do not."""
    groups: list[CommandGroup] = []
    notes: list[str] = []
    measured = {group.topic for group in state}
    rank = {TRAJECTORY: 0, ARRAY: 1, JOINT_STATE: 2}
    candidates = [
        name
        for name, topic in topics.items()
        if topic.values
        and name not in measured
        and (topic.type == TRAJECTORY or (topic.type in rank and (commands(name) or topic.type == ARRAY)))
    ]
    for name in sorted(candidates, key=lambda name: (rank[topics[name].type], name)):
        matched = _matched(name, topics, state)
        if not matched:
            notes.append(f"{name} is not used: its {len(_values(topics[name]))} values are not the joints of a state")
            continue
        taken = {n for group in groups for n in group.names}
        if taken & {policy for _, policy in matched}:
            notes.append(f"{name} is not used: another command has the same joints")
            continue
        groups += _split(name, topics, matched, state)
    if not groups:
        notes.append("GUESSED: no command was recorded, so the action is what the state becomes a step later")
        for group in state:
            groups += _split("", topics, list(zip(group.joints, group.names, strict=True)), state)
    return groups, notes


def _values(topic: Topic) -> tuple[str, ...]:
    assert topic.values is not None
    return topic.values.names


def _matched(name: str, topics: Mapping[str, Topic], state: Sequence[StateGroup]) -> list[tuple[str, str]]:
    """(joint, name in the policy) of each value of a command, from the state whose topic is most alike; else none."""
    topic = topics[name]
    values = _values(topic)
    for group in sorted(state, key=lambda group: -likeness(group.topic, name)):
        if topic.type == ARRAY and len(values) == len(group.joints):
            return [(group.joints[i], group.names[i]) for i in _order(topic, topics[group.topic])]
        if topic.type != ARRAY and set(values) <= set(group.joints):
            return [(joint, group.names[group.joints.index(joint)]) for joint in values]
    return []


def _order(command: Topic, state: Topic) -> list[int]:
    """Which joint each value of an array is: by where their ranges lie, or in the order of the joint states."""
    a, b = command.values, state.values
    assert a is not None and b is not None
    given, measured = (a.low + a.high) / 2, (b.low + b.high) / 2
    order = np.empty(len(given), int)
    order[given.argsort()] = measured.argsort()  # the best one for numbers on a line
    better = np.abs(given - measured[order]).sum() < CLEARLY * np.abs(given - measured).sum()
    return [int(i) for i in order] if better else list(range(len(given)))


def _split(
    name: str, topics: Mapping[str, Topic], matched: Sequence[tuple[str, str]], state: Sequence[StateGroup]
) -> list[CommandGroup]:
    """The arm and its grippers as groups of their own; of no topic where no command was recorded."""
    kind = topics[name].type if name else ""
    low, high, speed = _ranges(topics, name, [policy for _, policy in matched], state)
    places = {policy: group.topic for group in state for policy in group.names}
    groups = []
    for gripper in (False, True):
        chosen = [i for i, (joint, _) in enumerate(matched) if is_gripper(joint) == gripper]
        if not chosen:
            continue
        part = "gripper_controller" if gripper else "arm_controller"
        prefix = places[matched[0][1]].rpartition("/")[0]
        groups.append(
            CommandGroup(
                topic=name if kind == TRAJECTORY else "/".join(filter(None, (prefix, part, "joint_trajectory"))),
                source="" if kind == TRAJECTORY else name or NEXT_STATE,
                joints=tuple(matched[i][0] for i in chosen),
                names=tuple(matched[i][1] for i in chosen),
                indices=tuple(chosen) if kind == ARRAY else (),
                gripper=gripper,
                low=low[chosen],
                high=high[chosen],
                speed=speed[chosen],
            )
        )
    return groups


def _ranges(topics: Mapping[str, Topic], name: str, names: Sequence[str], state: Sequence[StateGroup]) -> Range:
    """Of each joint, over its command and its state."""
    command = topics[name].values if name else None
    places = {policy: (group.topic, i) for group in state for i, policy in enumerate(group.names)}
    seen = []
    for policy in names:
        topic, i = places[policy]
        values = topics[topic].values
        assert values is not None
        seen.append((values.low[i], values.high[i], values.speed[i]))
    parts = [np.array(seen).T, *([np.stack([command.low, command.high, command.speed])] if command else [])]
    low, high, speed = np.stack(parts).swapaxes(0, 1)
    return np.fmin.reduce(low), np.fmax.reduce(high), np.fmax.reduce(speed)
