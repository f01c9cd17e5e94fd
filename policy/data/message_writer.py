"""Frames and set-points as messages of a contract's topics: the inverse of policy.robot's decoding."""

from collections.abc import Container
from typing import Any

import numpy as np

from policy.data.bag_writer import EpisodeWriter
from policy.data.definitions import begins_with_header
from policy.data.new_message import message
from policy.data.raw import TYPES
from policy.robot import compressed_images, raw_images
from policy.robot.contract import Contract
from policy.robot.message_types import COMPRESSED, TRAJECTORY
from policy.robot.sources import Camera, Source

MESSAGES = TYPES.types
STAMP = ("header.stamp.sec", "header.stamp.nanosec")


class MessageWriter:
    """Writes what a contract reads, so that reading it gives the same again.

    Joints that no group names have no message; compressed images pass through their compression once more.
    """

    def __init__(self, bag: EpisodeWriter, contract: Contract) -> None:
        self._bag, self._contract, self._dt = bag, contract, contract.spec.dt_ns

    def text(self, topic: str, text: str, stamp: int) -> None:
        """An instruction, or a label that is a String."""
        self._bag.write(topic, MESSAGES["std_msgs/msg/String"](data=text), stamp)

    def contact(self, touched: bool, stamp: int) -> None:
        """The label of contact; the contract names its topic."""
        self._flag(self._contract.labels.contact, touched, stamp)

    def correction(self, corrects: bool, stamp: int) -> None:
        """The label of a person in control; the contract names its topic."""
        self._flag(self._contract.labels.correction, corrects, stamp)

    def _flag(self, topic: str | None, value: bool, stamp: int) -> None:
        assert topic is not None
        self._bag.write(topic, MESSAGES["std_msgs/msg/Bool"](data=value), stamp)

    def frame(self, stamp: int, images: dict[str, np.ndarray], state: np.ndarray) -> None:
        """What is seen at a time [ns]: camera -> (height, width, 3 or 1) as the camera gives it, state (S,)."""
        self.state(stamp, state)
        for name, camera in self._contract.cameras.items():
            self._bag.write(camera.topic, _image(camera, images[name], stamp), stamp)

    def state(self, stamp: int, state: np.ndarray, without: Container[str] = ()) -> None:
        """The state (S,) at a time [ns], but for what is read from the topics `without`."""
        for topic, sources in _by_topic(self._contract.state, state).items():
            if topic not in without:
                self._bag.write(topic, _message(sources, stamp, self._dt), stamp)

    def command(self, stamp: int, action: np.ndarray) -> None:
        """A set-point (A,), in force one step after the frame of this time [ns]."""
        commanded = _by_topic(tuple(c.source for c in self._contract.action), action)
        for topic, parts in commanded.items():
            sources = [(source, raw) for source, raw in parts if not self._measured(source)]
            if not sources:
                continue  # the next state is the command
            later = 0 if sources[0][0].type == TRAJECTORY else self._dt // 2  # all others are in force at once
            self._bag.write(topic, _message(sources, stamp + later, self._dt), stamp + later)

    def _measured(self, source: Source) -> bool:
        """Whether a demonstration's action is read where the state is."""
        read = {*source.joints, *source.paths}
        return any(
            (s.topic, s.field) == (source.topic, source.field) and read <= {*s.joints, *s.paths}
            for s in self._contract.state
        )


Sources = list[tuple[Source, np.ndarray]]  # and the raw numbers of each


def _by_topic(sources: tuple[Source, ...], vector: np.ndarray) -> dict[str, Sources]:
    """A vector's values in the robot's units, by topic."""
    topics: dict[str, Sources] = {}
    start = 0
    for source in sources:
        values = np.asarray(vector[start : start + len(source.spec_names)], np.float64)
        topics.setdefault(source.topic, []).append((source, source.invert(values)))
        start += len(values)
    return topics


def _message(sources: Sources, stamp: int, dt: int) -> Any:
    """The message that holds the raw numbers of all sources of a topic."""
    kind = sources[0][0].type
    if kind == TRAJECTORY:
        joints = {joint: value for source, raw in sources for joint, value in zip(source.joints, raw, strict=True)}
        return _trajectory(joints, stamp, dt)
    at: dict[str, Any] = dict(zip(STAMP, divmod(stamp, 10**9), strict=True))
    if not begins_with_header(kind):
        at = {}
    names = list(dict.fromkeys(joint for source, _ in sources for joint in source.joints))
    at |= {f"name[{i}]": joint for i, joint in enumerate(names)}
    for source, raw in sources:
        places = source.paths or [f"{source.field}[{names.index(joint)}]" for joint in source.joints]
        at |= zip(places, raw.tolist(), strict=True)
    for field in {source.field for source, _ in sources if source.joints}:  # one value for each joint
        at.setdefault(f"{field}[{len(names) - 1}]", 0.0)
    return message(kind, at)


def _trajectory(joints: dict[str, float], stamp: int, dt: int) -> Any:
    seconds, nanoseconds = divmod(dt, 10**9)
    at: dict[str, Any] = dict(zip(STAMP, divmod(stamp, 10**9), strict=True))
    at |= {"points[0].time_from_start.sec": seconds, "points[0].time_from_start.nanosec": nanoseconds}
    for i, (joint, value) in enumerate(joints.items()):
        at |= {f"joint_names[{i}]": joint, f"points[0].positions[{i}]": value}
    return message(TRAJECTORY, at)


def _image(camera: Camera, pixels: np.ndarray, stamp: int) -> Any:
    made = message(camera.type, dict(zip(STAMP, divmod(stamp, 10**9), strict=True)))
    if camera.type == COMPRESSED:
        made.format, made.data = compressed_images.encode(camera, pixels)
        return made
    data = raw_images.encode(camera, pixels)
    made.height, made.width, made.encoding, made.step = camera.height, camera.width, camera.encoding, data.shape[1]
    made.data = data.reshape(-1)
    return made
