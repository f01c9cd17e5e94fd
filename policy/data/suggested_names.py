"""Names for the parts of a contract, from the names of topics."""

import re
from collections.abc import Sequence

OF_EVERY_CAMERA = {
    "camera",
    "cam",
    "image",
    "raw",
    "rect",
    "color",
    "colour",
    "rgb",
    "compressed",
    "images",
    "mono",
    "sensors",
}
COMMAND = {
    "command",
    "commands",
    "cmd",
    "desired",
    "reference",
    "target",
    "goal",
    "leader",
    "master",
    "teleop",
    "action",
}
GRIPPER = ("grip", "finger", "jaw", "claw")


def tokens(name: str) -> set[str]:
    """The words of a topic's name, in lower case."""
    return set(words(name))


def words(name: str) -> list[str]:
    """The words of a name in order: camera_front/image_raw is camera, front, image, raw."""
    return [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]


def camera_name(topic: str) -> str:
    """What tells one camera from another: cam_high/camera/color/image_rect_raw is high.

    A feature of a LeRobot data set keeps its own name, by which it is read: observation.images.cam_high is cam_high.
    """
    if topic.startswith("observation."):
        return topic.removeprefix("observation.").removeprefix("images.")
    return "_".join(word for word in words(topic) if word not in OF_EVERY_CAMERA) or "camera"


def distinct(names: Sequence[str]) -> list[str]:
    """The same names, numbered where two are equal."""
    return [name if names.count(name) == 1 else f"{name}_{names[:i].count(name)}" for i, name in enumerate(names)]


def commands(name: str) -> bool:
    """Whether a topic's name is that of a command."""
    return bool(tokens(name) & COMMAND)


def is_gripper(joint: str) -> bool:
    """Whether a joint's name is that of a gripper."""
    return any(part in joint.lower() for part in GRIPPER)


def likeness(one: str, other: str) -> int:
    """How many words two topics share."""
    return len(tokens(one) & tokens(other))
