"""Decoders: one ROS message -> the value of one field of the contract, or `Unusable` with the reason."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from policy.robot import compressed_images
from policy.robot.contract import ARRAY, COMPRESSED, TRAJECTORY, Camera, Joints


class Unusable(ValueError):
    """A message that does not fit the contract: what arrived and what was expected."""


class Trajectory(NamedTuple):
    """The points of a JointTrajectory for one group of joints."""

    times: np.ndarray  # int64 (N,) ns from its start, not falling
    positions: np.ndarray  # (N, n)
    velocities: np.ndarray | None  # (N, n) per second, None where the message has none


def image_decoder(camera: Camera) -> Callable[[Any], np.ndarray]:
    """Message -> uint8 (height, width, 3) RGB."""
    expected = f"expected {camera.width}x{camera.height} {camera.encoding}"

    def raw(message: Any) -> np.ndarray:
        h, w, step = message.height, message.width, message.step
        if (h, w, message.encoding) != (camera.height, camera.width, camera.encoding):
            raise Unusable(f"got an image of {w}x{h} {message.encoding}, {expected}")
        data = np.frombuffer(message.data, np.uint8)
        if step < 3 * w or len(data) < step * h:
            raise Unusable(f"got an image with too few bytes for its size, {expected}: {3 * w * h} bytes")
        image = data[: step * h].reshape(h, step)[:, : 3 * w].reshape(h, w, 3)  # rows may be padded
        return np.ascontiguousarray(image if camera.encoding == "rgb8" else image[..., ::-1])

    if camera.type != COMPRESSED:
        return raw
    decompress = compressed_images.decoder(camera)

    def packed(message: Any) -> np.ndarray:
        if camera.encoding not in message.format.lower().replace("jpg", "jpeg"):
            raise Unusable(f"got an image of format {message.format!r}, {expected}")
        try:
            return decompress(bytes(message.data))
        except ValueError as error:
            raise Unusable(f"got {error}, {expected}") from None

    return packed


def joint_decoder(source: Joints) -> Callable[[Any], np.ndarray | None]:
    """JointState -> its joints (n,), None where the message has none of them."""
    decode = joints_decoder([source])

    def one(message: Any) -> np.ndarray | None:
        (value,) = decode(message)
        if isinstance(value, Unusable):
            raise value
        return value

    return one


def joints_decoder(sources: Sequence[Joints]) -> Callable[[Any], list[np.ndarray | Unusable | None]]:
    """One topic's JointState -> a value (n,) for each source, converting each field of the message once."""
    columns = [_Columns(source) for source in sources]

    def decode(message: Any) -> list[np.ndarray | Unusable | None]:
        fields: dict[str, np.ndarray] = {}
        values: list[np.ndarray | Unusable | None] = []
        for source, column in zip(sources, columns, strict=True):
            if source.field not in fields:
                fields[source.field] = np.asarray(getattr(message, source.field), np.float64)
            try:
                found = column.of(message.name)
                values.append(None if found is None else _scaled(source, fields[source.field], found))
            except Unusable as error:
                values.append(error)
        return values

    return decode


def command_decoder(source: Joints) -> Callable[[Any], Any]:
    """Command -> its set-point (n,), or a `Trajectory`; None where the message has none of the joints."""
    if source.type == ARRAY:
        return lambda message: _scaled(source, np.asarray(message.data, np.float64), source.indices)
    return _trajectory_decoder(source) if source.type == TRAJECTORY else joint_decoder(source)


def _trajectory_decoder(source: Joints) -> Callable[[Any], Trajectory | None]:
    column = _Columns(source)

    def trajectory(message: Any) -> Trajectory | None:
        if not message.points:
            raise Unusable("got a trajectory without points, expected at least one")
        found = column.of(message.joint_names)
        if found is None:
            return None
        starts = [p.time_from_start for p in message.points]
        times = np.array([t.sec * 1_000_000_000 + t.nanosec for t in starts], np.int64)
        if (np.diff(times) < 0).any():
            raise Unusable("got a trajectory whose points run backwards")
        positions = [_scaled(source, np.asarray(p.positions, np.float64), found) for p in message.points]
        moving = all(len(p.velocities) for p in message.points)
        speeds = [_scaled(source, np.asarray(p.velocities, np.float64), found, 0.0) for p in message.points if moving]
        return Trajectory(times, np.stack(positions), np.stack(speeds) if moving else None)

    return trajectory


class _Columns:
    """Where a source's joints are in a message, whose order seldom changes."""

    def __init__(self, source: Joints) -> None:
        self._joints = source.joints
        self._names: list[str] | None = None
        self._found: list[int] = []

    def of(self, names: Sequence[str]) -> Sequence[int] | None:
        """The indices of the joints among the names, None where none of them is there."""
        if names != self._names:
            missing = [joint for joint in self._joints if joint not in names]
            if len(missing) == len(self._joints):
                return None
            if missing:
                raise Unusable(f"got no joint {', '.join(missing)}, only {', '.join(names)}")
            self._names = list(names)
            self._found = [self._names.index(joint) for joint in self._joints]
        return self._found


def _scaled(source: Joints, values: np.ndarray, found: Sequence[int], offset: float | None = None) -> np.ndarray:
    if len(values) <= max(found):
        raise Unusable(f"got {len(values)} values of {source.field}, expected at least {max(found) + 1}")
    value = values[list(found)]
    if not np.isfinite(value).all():
        names = ", ".join(source.joints) or source.indices
        raise Unusable(f"got a value that is not a finite number among {names}")
    if source.reduce == "sum":
        value = value.sum(keepdims=True)
    return value * source.scale + (source.offset if offset is None else offset)
