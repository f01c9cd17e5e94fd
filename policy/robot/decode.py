"""Decoders: one ROS message -> the value of one field of the contract, or `Unusable` with the reason."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from policy.robot import compressed_images, message_fields, raw_images
from policy.robot.message_types import COMPRESSED, TRAJECTORY
from policy.robot.sources import Camera, Source


class Unusable(ValueError):
    """A message that does not fit the contract: what arrived and what was expected."""


class Trajectory(NamedTuple):
    """The points of a JointTrajectory for one group of joints."""

    times: np.ndarray  # int64 (N,) ns from its start, not falling
    positions: np.ndarray  # (N, n)
    velocities: np.ndarray | None  # (N, n) per second, None where the message has none


def image_decoder(camera: Camera) -> Callable[[Any], np.ndarray]:
    """Message -> uint8 (height, width, 3) RGB, of depth float32 (height, width, 1) m, 0 where it is unknown."""
    expected = f"expected {camera.width}x{camera.height} {camera.encoding}"
    packed = camera.type == COMPRESSED
    decode: Callable[[Any], np.ndarray] = (compressed_images if packed else raw_images).decoder(camera)

    def image(message: Any) -> np.ndarray:
        try:
            return decode(message)
        except ValueError as error:
            raise Unusable(f"got {error}, {expected}") from None

    return image


def joint_decoder(source: Source) -> Callable[[Any], np.ndarray | None]:
    """JointState -> its joints (n,), None where the message has none of them."""
    decode = joints_decoder([source])

    def one(message: Any) -> np.ndarray | None:
        (value,) = decode(message)
        if isinstance(value, Unusable):
            raise Unusable(str(value))  # that one is kept, and would gather a traceback each time
        return value

    return one


def joints_decoder(sources: Sequence[Source]) -> Callable[[Any], list[np.ndarray | Unusable | None]]:
    """One topic's JointState -> a value (n,) for each source, of one look at the message for all of them."""
    fields = tuple(dict.fromkeys(source.field for source in sources))
    plan = _Plan(sources, fields, [], (0,) * len(fields))

    def decode(message: Any) -> list[np.ndarray | Unusable | None]:
        nonlocal plan
        parts = [np.asarray(getattr(message, field), np.float64) for field in fields]
        lengths = tuple(len(part) for part in parts)
        if message.name != plan.names or lengths != plan.lengths:  # which seldom change
            plan = _Plan(sources, fields, list(message.name), lengths)
        return plan.values(np.concatenate(parts) if len(parts) > 1 else parts[0])

    return decode


class _Plan:
    """Where the joints of several sources are in messages with these names and numbers of values."""

    def __init__(
        self, sources: Sequence[Source], fields: Sequence[str], names: list[str], lengths: tuple[int, ...]
    ) -> None:
        self.names, self.lengths, self._sources = names, lengths, sources
        begin = dict(zip(fields, np.cumsum([0, *lengths]).tolist(), strict=False))
        length = dict(zip(fields, lengths, strict=True))
        index: list[int] = []
        scale: list[float] = []
        offset: list[float] = []
        self._found: list[slice | Unusable | None] = []  # of each source among all values, or why it has none
        for source in sources:
            try:
                columns = _columns(source, names, length[source.field])
            except Unusable as error:
                self._found.append(error)
                continue
            self._found.append(None if columns is None else slice(len(index), len(index) + len(columns)))
            for column in columns or ():
                index.append(begin[source.field] + column)
            if columns is not None:
                scale += source.scales.tolist()
                offset += source.offsets.tolist() if source.reduce == "none" else [0.0] * len(columns)
        self._index, self._scale, self._offset = np.array(index, np.int64), np.array(scale), np.array(offset)

    def values(self, raw: np.ndarray) -> list[np.ndarray | Unusable | None]:
        """The value of each source, of all fields one after the other."""
        picked = raw[self._index]
        finite, scaled = np.isfinite(picked), picked * self._scale + self._offset
        sound = finite.all()
        values: list[np.ndarray | Unusable | None] = []
        for source, found in zip(self._sources, self._found, strict=True):
            if not isinstance(found, slice):
                values.append(found)
            elif not sound and not finite[found].all():
                values.append(_not_finite(source))
            elif source.reduce == "sum":
                values.append(scaled[found].sum(keepdims=True) + source.offsets)
            else:
                values.append(scaled[found])
        return values


def value_decoder(source: Source) -> Callable[[Any], np.ndarray | None]:
    """Message of any type but a trajectory -> its values (n,), None where it has none of the joints."""
    return joint_decoder(source) if source.joints else _fields_decoder(source)


def command_decoder(source: Source) -> Callable[[Any], Any]:
    """Command -> its set-point (n,), or a `Trajectory`; None where the message has none of the joints."""
    return _trajectory_decoder(source) if source.type == TRAJECTORY else value_decoder(source)


def _fields_decoder(source: Source) -> Callable[[Any], np.ndarray]:
    readers = [message_fields.reader(path) for path in source.paths]

    def fields(message: Any) -> np.ndarray:
        try:
            raw = np.array([read(message) for read in readers])
        except ValueError as error:
            raise Unusable(f"{error} (in a {source.type})") from None
        if not np.isfinite(raw).all():
            raise _not_finite(source)
        if source.orientation and not raw[-4:].any():
            raise Unusable(f"got an orientation of four zeros at {source.orientation}, expected a quaternion")
        return source.convert(raw)

    return fields


def _trajectory_decoder(source: Source) -> Callable[[Any], Trajectory | None]:
    def trajectory(message: Any) -> Trajectory | None:
        if not message.points:
            raise Unusable("got a trajectory without points, expected at least one")
        found = _columns(source, message.joint_names, len(message.points[0].positions))
        if found is None:
            return None
        starts = [p.time_from_start for p in message.points]
        times = np.array([t.sec * 1_000_000_000 + t.nanosec for t in starts], np.int64)
        if (np.diff(times) < 0).any():
            raise Unusable("got a trajectory whose points run backwards")
        positions = [source.convert(_picked(source, p.positions, found)) for p in message.points]
        moving = all(len(p.velocities) for p in message.points)
        speeds = [source.convert(_picked(source, p.velocities, found), speed=True) for p in message.points if moving]
        return Trajectory(times, np.stack(positions), np.stack(speeds) if moving else None)

    return trajectory


def _columns(source: Source, names: Sequence[str], length: int) -> list[int] | None:
    """The indices of a source's joints among the names, None where none of them is there."""
    missing = [joint for joint in source.joints if joint not in names]
    if len(missing) == len(source.joints):
        return None
    if missing:
        raise Unusable(f"got no joint {', '.join(missing)}, only {', '.join(names)}")
    found = [list(names).index(joint) for joint in source.joints]
    if length <= max(found):
        raise _too_short(source, length, max(found))
    return found


def _picked(source: Source, values: Sequence[float], found: list[int]) -> np.ndarray:
    if len(values) <= max(found):
        raise _too_short(source, len(values), max(found))
    raw = np.asarray(values, float)[found]
    if not np.isfinite(raw).all():
        raise _not_finite(source)
    return raw


def _too_short(source: Source, length: int, last: int) -> Unusable:
    return Unusable(f"got {length} values of {source.field}, expected at least {last + 1}")


def _not_finite(source: Source) -> Unusable:
    return Unusable(f"got a value that is not a finite number among {', '.join(source.joints or source.paths)}")
