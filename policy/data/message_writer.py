"""Frames and set-points as messages of a contract's topics: the inverse of policy.robot's decoding."""

from typing import Any

import numpy as np

from policy.data.bag_writer import EpisodeWriter
from policy.data.raw import TYPES
from policy.errors import InputError
from policy.robot.contract import Contract
from policy.robot.message_types import ARRAY, COMPRESSED, TRAJECTORY
from policy.robot.sources import Camera, Source

JPEG = 95  # quality: once more through JPEG must not be seen
MESSAGES = TYPES.types


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
        assert self._contract.labels.contact is not None
        self._bag.write(self._contract.labels.contact, MESSAGES["std_msgs/msg/Bool"](data=touched), stamp)

    def frame(self, stamp: int, images: dict[str, np.ndarray], state: np.ndarray) -> None:
        """What is seen at a time [ns]: camera -> uint8 (height, width, 3) RGB, state (S,)."""
        for topic, values in _by_topic(self._contract.state, state).items():
            self._bag.write(topic, _joint_state(values, _header(stamp)), stamp)
        for name, camera in self._contract.cameras.items():
            self._bag.write(camera.topic, _image(camera, images[name], _header(stamp)), stamp)

    def command(self, stamp: int, action: np.ndarray) -> None:
        """A set-point (A,), in force one step after the frame of this time [ns]."""
        for topic, values in _by_topic(tuple(c.source for c in self._contract.action), action).items():
            kind = self._contract.commanded[topic]
            if kind == TRAJECTORY:
                self._bag.write(topic, _trajectory(values, _header(stamp), self._dt), stamp)
                continue
            at = stamp + self._dt // 2  # these are in force at once
            self._bag.write(topic, _array(values) if kind == ARRAY else _joint_state(values, _header(at)), at)


Values = dict[str, dict[Any, float]]  # field -> joint, or its index in an array -> raw value


def _by_topic(sources: tuple[Source, ...], vector: np.ndarray) -> dict[str, Values]:
    """A vector's values in the robot's units, by topic."""
    topics: dict[str, Values] = {}
    start = 0
    for source in sources:
        read = source.indices if source.type == ARRAY else source.joints
        values = topics.setdefault(source.topic, {}).setdefault(source.field, {})
        width = 1 if source.reduce == "sum" else len(read)
        raw = (np.asarray(vector[start : start + width], np.float64) - source.offset) / source.scale
        values |= zip(
            read, (np.repeat(raw / len(read), len(read)) if source.reduce == "sum" else raw).tolist(), strict=True
        )
        start += width
    return topics


def _joint_state(values: Values, header: Any) -> Any:
    names = list(dict.fromkeys(name for field in values.values() for name in field))
    fields = {
        field: np.array([values[field].get(name, 0.0) for name in names] if field in values else [], float)
        for field in ("position", "velocity", "effort")
    }
    return MESSAGES["sensor_msgs/msg/JointState"](header=header, name=names, **fields)


def _trajectory(values: Values, header: Any, dt: int) -> Any:
    (positions,), none = values.values(), np.zeros(0)
    point = MESSAGES["trajectory_msgs/msg/JointTrajectoryPoint"](
        positions=np.array(list(positions.values())),
        velocities=none,
        accelerations=none,
        effort=none,
        time_from_start=MESSAGES["builtin_interfaces/msg/Duration"](*divmod(dt, 10**9)),
    )
    return MESSAGES["trajectory_msgs/msg/JointTrajectory"](header=header, joint_names=list(positions), points=[point])


def _array(values: Values) -> Any:
    (by_index,) = values.values()
    data = np.zeros(max(by_index) + 1)
    data[list(by_index)] = list(by_index.values())
    layout = MESSAGES["std_msgs/msg/MultiArrayLayout"](dim=[], data_offset=0)
    return MESSAGES["std_msgs/msg/Float64MultiArray"](layout=layout, data=data)


def _image(camera: Camera, pixels: np.ndarray, header: Any) -> Any:
    if camera.type == COMPRESSED:
        return MESSAGES["sensor_msgs/msg/CompressedImage"](
            header=header, format=f"rgb8; {camera.encoding} compressed bgr8", data=_packed(camera, pixels)
        )
    data = pixels if camera.encoding == "rgb8" else pixels[..., ::-1]
    return MESSAGES["sensor_msgs/msg/Image"](
        header=header,
        height=camera.height,
        width=camera.width,
        encoding=camera.encoding,
        is_bigendian=0,
        step=3 * camera.width,
        data=np.ascontiguousarray(data).reshape(-1),
    )


def _packed(camera: Camera, pixels: np.ndarray) -> np.ndarray:
    import cv2  # as in policy.robot.decode: only contracts with compressed images need it

    done, data = cv2.imencode(f".{camera.encoding}", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG])
    if not done:
        raise InputError(f"{camera.topic}: OpenCV cannot write {camera.encoding}; use jpeg or png in the contract")
    return data.reshape(-1)


def _header(stamp: int) -> Any:
    time = MESSAGES["builtin_interfaces/msg/Time"](*divmod(stamp, 10**9))
    return MESSAGES["std_msgs/msg/Header"](stamp=time, frame_id="")
