"""Groups of the action, from the commands of bags."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from policy.data.contents import Topic
from policy.data.suggested_match import Joint, joints_of, matched
from policy.data.suggested_names import commands, is_gripper, tokens, words
from policy.data.suggested_state import StateGroup
from policy.data.suggested_unused import is_command, no_positions, uncommanded, unused
from policy.robot.message_types import ARRAY, JOINT_STATE, TRAJECTORY

NEXT_STATE = "next_state"
LEADERS = {"leader", "master", "teleop", "operator"}  # what a person moves: no robot listens there


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
    type: str = TRAJECTORY  # of what the robot takes


def command_groups(topics: Mapping[str, Topic], state: Sequence[StateGroup]) -> tuple[list[CommandGroup], list[str]]:
    """Groups of the commands that fit the state, and notes on those that do not, and on what nothing commands."""
    groups: list[CommandGroup] = []
    notes: list[str] = []
    joints, measured = joints_of(state), {group.topic for group in state}
    rank = {TRAJECTORY: 0, ARRAY: 1, JOINT_STATE: 2}
    candidates = [
        name
        for name, topic in topics.items()
        if _names(topic)
        and name not in measured
        and (topic.type == TRAJECTORY or (topic.type in rank and (commands(name) or topic.type == ARRAY)))
        and not no_positions(name, topic)
    ]
    for name in sorted(candidates, key=lambda name: (rank[topics[name].type], name)):
        taken = {n for group in groups for n in group.names}
        found = matched(name, topics[name], joints, taken)
        if not found:
            notes.append(f"{name} is not used: {_unfit(topics[name])}")
        elif taken & {joint.name for joint in found}:
            notes.append(f"{name} is not used: another command has the same joints")
        else:
            more = _split(name, topics[name], found)
            groups += more
            if topics[name].type == ARRAY and len(more) > 1 and _listens(name):
                notes.append(
                    f"GUESSED: {name} holds an arm and its gripper, and a gripper is a group of its own, which a part "
                    "of an array cannot be: both are to go out as trajectories"
                )
    others = unused(topics, {*measured, *candidates})
    notes += others.values()
    if not groups:
        recorded = candidates or any(is_command(name, topics[name]) for name in others)
        why = "no recorded command fits the state" if recorded else "no command was recorded"
        notes.append(f"GUESSED: {why}, so the action is what the state becomes a step later")
        for group in state:
            groups += _split("", None, joints_of([group]))
    return groups, notes + uncommanded(joints, {n for group in groups for n in group.names})


def _names(topic: Topic) -> tuple[str, ...]:
    return topic.values.names if topic.values else ()


def _unfit(topic: Topic) -> str:
    """What a command holds that fits no joints of the state, and what to do."""
    if topic.type == ARRAY:
        n = len(_names(topic))
        what = "value is not a joint" if n == 1 else "values are not the joints"
        return (
            f"its {n} {what} of a state; write a group whose `demonstration` reads {'it' if n == 1 else 'them'} by "
            "`indices`, with `initial` values where nothing measures the joints (docs/observations.md)"
        )
    return (
        f"its joints {', '.join(_names(topic))} are not those of a state; write a group whose `demonstration` gives "
        "them the `names` of the state"
    )


def _split(name: str, topic: Topic | None, joints: Sequence[Joint]) -> list[CommandGroup]:
    """The arm and its grippers as groups of their own, of each publisher; of no topic where no command was recorded."""
    kind, values = (topic.type, topic.values) if topic else ("", None)
    low, high, speed = (np.array([getattr(joint, of) for joint in joints]) for of in ("low", "high", "speed"))
    places = [list(range(len(joints)))]
    if values is not None:  # of each joint, over its command and its state
        low, high = np.fmin(low, values.low), np.fmax(high, values.high)
        speed = np.fmax(speed, values.speed)
        places = [[values.names.index(n) for n in names] for names in values.together]
    parts = [[i for i in of if is_gripper(joints[i].joint) == grip] for of in places for grip in (False, True)]
    parts = [part for part in parts if part]
    listens = kind == TRAJECTORY or (kind == ARRAY and len(parts) == 1 and _listens(name))
    prefix = joints[0].topic.rpartition("/")[0]
    groups = []
    for chosen in parts:
        gripper = is_gripper(joints[chosen[0]].joint)
        part_of = "gripper_controller" if gripper else "arm_controller"
        groups.append(
            CommandGroup(
                topic=name if listens else "/".join(filter(None, (prefix, part_of, "joint_trajectory"))),
                source="" if listens else name or NEXT_STATE,
                joints=tuple(joints[i].joint for i in chosen),
                names=tuple(joints[i].name for i in chosen),
                indices=tuple(chosen) if kind == ARRAY else (),
                gripper=gripper,
                low=low[chosen],
                high=high[chosen],
                speed=speed[chosen],
                type=ARRAY if listens and kind == ARRAY else TRAJECTORY,
            )
        )
    return groups


def _listens(name: str) -> bool:
    """Whether a controller listens on the topic of an array: ~/commands, as forward_command_controller's is called."""
    return words(name)[-1] == "commands" and not tokens(name) & LEADERS
