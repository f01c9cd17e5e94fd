"""A contract written from what bags hold, for a user to edit: what was guessed is marked.

    contents -> cameras, joint states, commands, words -> YAML with comments

It loads as it is where the bags leave no choice. Limits are what was seen, and no limits of the robot.
"""

from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np
import yaml

from policy.data.contents import Topic
from policy.data.suggested_action import NEXT_STATE, CommandGroup, command_groups
from policy.data.suggested_names import camera_name, distinct, tokens
from policy.data.suggested_state import StateGroup, state_groups
from policy.robot.contract import LABEL_TYPES
from policy.robot.message_types import ARRAY, COMPRESSED, IMAGE, STRING, TRAJECTORY
from policy.robot.sources import DEPTH, Encoding

USUAL_RATES = (5, 10, 15, 20, 25, 30)
CHUNK = 0.8  # s
WIDER = 0.1  # of the range that was seen, on each side
LEAST = 0.05  # rad, m on each side: a joint may not have moved
FASTER = 1.5  # times the speed that was seen
INSTRUCTION = {"instruction", "instructions", "task", "prompt", "language", "command", "text"}
ON_THE_ARM = {"wrist", "hand", "gripper", "tool"}  # such a camera does not lead
STANDARD = {"rosout", "parameter_events", "robot_description"}


def suggest(topics: Mapping[str, Topic]) -> str:
    """The YAML of a contract that fits the topics of bags."""
    state, state_notes = state_groups(topics)
    action, action_notes = command_groups(topics, state)
    cameras, camera_notes = _cameras(topics)
    return (
        "\n".join(
            [
                "# Written from bags by `python -m policy.check --suggest`. Check what is marked GUESSED.",
                "# Every key is explained in policy/contracts/tabletop.yaml.",
                "",
                *_rate(topics, cameras),
                "",
                *_notes(camera_notes),
                *_camera_lines(topics, cameras),
                "",
                *_notes(state_notes),
                *_state_lines(state),
                "",
                *_notes(action_notes),
                *_action_lines(topics, action),
                "",
                *_word_lines(topics),
            ]
        )
        + "\n"
    )


def _cameras(topics: Mapping[str, Topic]) -> tuple[dict[str, str], list[str]]:
    """Name -> topic of each camera, the one that leads first, and notes on what is not used."""
    notes: list[str] = []
    found: list[str] = []
    for name, topic in sorted(topics.items()):
        if topic.type not in (IMAGE, COMPRESSED) or not topic.pictures:
            continue
        encoding, size = _picture(topic)
        raw = name.removesuffix("/compressed")
        if encoding not in get_args(Encoding) or not size:
            kind = topic.pictures.most_common(1)[0][0]
            notes.append(f"{name} is not used: pictures of {kind}; docs/observations.md has what can be read")
        elif encoding in DEPTH:
            notes.append(
                f"{name} is not used: depth ({encoding} {size}); add it as a camera if the policy shall see it"
            )
        elif raw != name and raw in found:
            notes.append(f"{name} is not used: {raw} has the same pictures")
        else:
            found.append(name)
        if len(topic.pictures) > 1:
            notes.append(f"GUESSED: {name} has pictures of several kinds, the most frequent is taken")
    named = zip(distinct([camera_name(name) for name in found]), found, strict=True)
    return dict(sorted(named, key=lambda pair: (bool(tokens(pair[1]) & ON_THE_ARM), pair[0]))), notes


def _picture(topic: Topic) -> tuple[str, str]:
    """Encoding and size of most of a topic's pictures."""
    encoding, _, size = topic.pictures.most_common(1)[0][0].rpartition(" ")
    return encoding, size if "x" in size else ""


def _rate(topics: Mapping[str, Topic], cameras: Mapping[str, str]) -> list[str]:
    """Rate and horizon, by the slowest camera."""
    slowest = min((topics[topic].hertz for topic in cameras.values()), default=0.0)
    near = min(USUAL_RATES, key=lambda usual: abs(usual - slowest))
    rate = near if abs(near - slowest) < 0.1 * near or slowest > near else max(round(slowest), 1)
    return [
        f"rate: {rate}   # Hz, GUESSED from the cameras ({slowest:.1f} Hz): frames and actions",
        f"horizon: {max(round(CHUNK * rate), 2)}   # GUESSED: actions in a chunk",
    ]


def _camera_lines(topics: Mapping[str, Topic], cameras: Mapping[str, str]) -> list[str]:
    if not cameras:
        return ["cameras: {}   # none found: record a sensor_msgs/msg/Image or CompressedImage topic"]
    lines = ["cameras:   # GUESSED: their names; the first one leads, a frame is due on its images"]
    for name, topic in cameras.items():
        encoding, size = _picture(topics[topic])
        width, height = size.split("x")
        lines += [f"  {_yaml(name)}:", f"    topic: {_topic(topic)}", f"    type: {topics[topic].type}"]
        lines += [f"    encoding: {encoding}", f"    height: {height}", f"    width: {width}"]
        if topics[topic].stamped and not topics[topic].headers:
            lines.append("    stamp: receive   # its headers have no time")
    return lines


def _state_lines(groups: Sequence[StateGroup]) -> list[str]:
    if not groups:
        return ["state: []   # none found: record a sensor_msgs/msg/JointState topic"]
    lines = ["state:   # sensor_msgs/msg/JointState"]
    for group in groups:
        lines += [f"  - topic: {_topic(group.topic)}", f"    {_key(group.joints)}: {_yaml(list(group.joints))}"]
        if group.names != group.joints:
            lines.append(f"    names: {_yaml(list(group.names))}   # GUESSED: names in the policy")
        if group.receive:
            lines.append("    stamp: receive   # its headers have no time")
    return lines


def _action_lines(topics: Mapping[str, Topic], groups: Sequence[CommandGroup]) -> list[str]:
    if not groups:
        return ["action: []   # none found: record what is commanded, as JointTrajectory, array or a leader's joints"]
    lines = ["action:   # limits are GUESSED: what was seen, made a little wider. Put the robot's own here"]
    for group in groups:
        low, high, speed = _limits(group)
        lines.append(
            f"  - topic: {_topic(group.topic)}" + ("   # GUESSED: where the robot listens" if group.source else "")
        )
        if group.type != TRAJECTORY:
            lines.append(f"    type: {group.type}")
        nameless = _key(group.joints) == "fields"
        guess = "   # GUESSED: no message names them" if nameless or group.type == ARRAY else ""
        lines.append(f"    joints: {_yaml(list(group.names if nameless else group.joints))}{guess}")
        if group.names != group.joints and not nameless:
            lines.append(f"    names: {_yaml(list(group.names))}")
        if group.gripper:
            lines.append("    gripper: true   # GUESSED by its name")
        lines += [f"    position_min: {low}", f"    position_max: {high}", f"    velocity_max: {speed}"]
        if group.source == NEXT_STATE:
            lines.append(f"    demonstration: {NEXT_STATE}")
        elif group.source:
            lines += [
                "    demonstration:",
                f"      topic: {_topic(group.source)}",
                f"      type: {topics[group.source].type}",
            ]
            if group.indices:
                lines.append(f"      indices: {list(group.indices)}   # GUESSED: which value is which joint")
            else:
                lines.append(f"      {_key(group.joints)}: {_yaml(list(group.joints))}")
            lines.append(f"      names: {_yaml(list(group.names))}")
    return lines


def _limits(group: CommandGroup) -> tuple[list[float], list[float], list[float]]:
    """Lowest, highest and fastest of what was seen of each joint, a little wider."""
    margin = np.maximum(WIDER * (group.high - group.low), LEAST)
    speed = np.maximum(FASTER * np.nan_to_num(group.speed), 0.1)
    return tuple([float(f"{v:.4g}") for v in x] for x in (group.low - margin, group.high + margin, speed))  # type: ignore[return-value]


def _word_lines(topics: Mapping[str, Topic]) -> list[str]:
    """The topic of the instruction, and labels."""
    words = [name for name, topic in topics.items() if topic.type == STRING and not tokens(name) & {"label", *STANDARD}]
    named = [name for name in words if tokens(name) & INSTRUCTION]
    if len(named) == 1 or (len(words) == 1 and not named):
        lines = [f"instruction: {_yaml((named or words)[0])}"]
    elif named:
        lines = [f"instruction: {_yaml(named[0])}   # GUESSED: one of {', '.join(named)}"]
    else:
        lines = [
            "instruction: instruction   # none in these bags (std_msgs/msg/String): record it, write it into",
            "# bags.yaml beside the bags (docs/bags.md), or give the same one to all:",
            "# default_instruction: pick up the cup",
        ]
    labels = {
        key: name
        for key, kind in LABEL_TYPES.items()
        for name, topic in topics.items()
        if topic.type == kind and tokens(name) >= {"label", key}
    }
    return lines + (["", "labels:", *(f"  {key}: {_yaml(name)}" for key, name in labels.items())] if labels else [])


def _key(joints: Sequence[str]) -> str:
    """How values are read: by the names of joints, or by paths where the message names none."""
    return "fields" if any("[" in joint for joint in joints) else "joints"


def _notes(notes: Sequence[str]) -> list[str]:
    return [f"# {note}" for note in notes]


def _topic(name: str) -> str:
    """A topic; a feature of a LeRobot data set as one: observation.state is observation/state."""
    return _yaml(name.replace(".", "/"))


def _yaml(value: object) -> str:
    """A value as YAML reads it back, on one line."""
    return str(yaml.safe_dump(value, default_flow_style=True, width=10**6)).removesuffix("\n...\n").strip()
