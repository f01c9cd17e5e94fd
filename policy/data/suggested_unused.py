"""Notes on recorded commands that a suggested contract does not use: why, and what to do."""

from collections.abc import Collection, Mapping, Sequence

from policy.data.contents import Topic
from policy.data.suggested_match import Joint
from policy.data.suggested_names import commands, tokens
from policy.data.uncommanded import moves
from policy.robot.message_types import ARRAY, COMPRESSED, IMAGE, JOINT_STATE, POSE, STRING, TRAJECTORY, TWIST
from policy.robot.uncommandable import FIELDS, INSTEAD

PASSED_OVER = (IMAGE, COMPRESSED, STRING, JOINT_STATE)  # have their own notes, or are words
HAND = {TWIST: "twist", POSE: "pose"}
SPEEDS = {"velocity", "velocities", "vel", "speed", "effort", "efforts", "torque"}


def is_command(name: str, topic: Topic) -> bool:
    """Whether a topic is a command by its name, or is a trajectory."""
    return topic.type == TRAJECTORY or commands(name) or "cmd" in name.lower()


def no_positions(name: str, topic: Topic) -> bool:
    """Whether an array is one of velocities or efforts by its name."""
    return topic.type == ARRAY and bool(tokens(name) & SPEEDS)


def unused(topics: Mapping[str, Topic], known: Collection[str]) -> dict[str, str]:
    """Topic -> a note, of each that may be a command and that is neither `known` nor of a type that is."""
    notes = {}
    for name, topic in sorted(topics.items()):
        if name in known or topic.type in PASSED_OVER or "label" in tokens(name) or "/_" in f"/{name}":
            continue
        if topic.type in HAND or topic.type in FIELDS or is_command(name, topic):
            notes[name] = f"{name} is not used: {_why(name, topic)}"
    return notes


def uncommanded(joints: Sequence[Joint], names: Collection[str]) -> list[str]:
    """A note on the joints that move and that are not among the `names` of the action."""
    still = [j.name for j in joints if j.name not in names and moves(j.joint, j.low, j.high)]
    if not still:
        return []
    them = "it" if len(still) == 1 else "them"
    return [f"GUESSED: nothing commands {', '.join(still)}, so the policy will not move {them}: record what does"]


def _why(name: str, topic: Topic) -> str:
    """Why a topic is no group of the action, and what to do."""
    if topic.type in HAND:
        kind = HAND[topic.type]
        return (
            f"only joints are suggested; if it commands a {kind}, write `type: {topic.type}`, `frame`, six `names` and "
            "limits into a group of the action (docs/commands.md); if it is measured, a group of `state` "
            "(docs/observations.md)"
        )
    if topic.type in INSTEAD:
        read = f"; a `demonstration` can read it (`fields: [{FIELDS[topic.type]}]`)" if topic.type in FIELDS else ""
        return f"{topic.type} cannot be commanded; {INSTEAD[topic.type]}{read}"
    if no_positions(name, topic):
        return (
            "by its name it holds no positions; velocities of joints are a group with `interface: velocity` "
            "(docs/commands.md)"
        )
    if topic.type in (TRAJECTORY, ARRAY):
        return "none of its messages holds a position"
    return f"{topic.type} cannot be commanded; docs/commands.md has what can, and what a `demonstration` may read"
