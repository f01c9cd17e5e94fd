"""Decoders: one ROS message -> the value of one field of the contract, or `Unusable` with the reason."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from policy.errors import InputError
from policy.robot.contract import ARRAY, COMPRESSED, TRAJECTORY, Camera, Joints


class Unusable(ValueError):
    """A message that does not fit the contract: what arrived and what was expected."""


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

    def packed(message: Any) -> np.ndarray:
        if camera.encoding not in message.format.lower().replace("jpg", "jpeg"):
            raise Unusable(f"got an image of format {message.format!r}, {expected}")
        data = np.frombuffer(message.data, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
        if image is None:
            raise Unusable(f"got bytes that do not decode, {expected}")
        if image.shape[:2] != (camera.height, camera.width):
            raise Unusable(f"got an image of {image.shape[1]}x{image.shape[0]}, {expected}")
        return np.ascontiguousarray(image[..., ::-1])  # OpenCV gives BGR

    if camera.type != COMPRESSED:
        return raw
    try:
        import cv2
    except ImportError:
        raise InputError(
            "this contract has compressed images, which OpenCV decodes, and it is not here; "
            "install it with `pip install opencv-python`"
        ) from None
    return packed


def _picker(source: Joints) -> Callable[[Any, Any], np.ndarray | None]:
    """(names, values) -> the joints of the contract, scaled; None if the message has none of them."""
    places: list[int] = []
    known: list[str] | None = None

    def pick(names: Any, values: Any) -> np.ndarray | None:
        nonlocal places, known
        if names != known:  # the order of a publisher's joints seldom changes
            known = list(names)
            missing = [j for j in source.joints if j not in known]
            if len(missing) == len(source.joints):
                known = None
                return None
            if missing:
                known = None
                raise Unusable(f"got no joint {', '.join(missing)}, only {', '.join(names)}")
            places = [known.index(j) for j in source.joints]
        return _scaled(source, values, places)

    return pick


def _scaled(source: Joints, values: Any, places: Sequence[int]) -> np.ndarray:
    got = np.asarray(values, np.float64)
    if len(got) <= max(places):
        raise Unusable(f"got {len(got)} values of {source.field}, expected at least {max(places) + 1}")
    value = got[list(places)]
    if not np.isfinite(value).all():
        names = ", ".join(source.joints) or source.indices
        raise Unusable(f"got a value that is not a finite number among {names}")
    if source.reduce == "sum":
        value = value.sum(keepdims=True)
    return value * source.scale + source.offset


def joint_decoder(source: Joints) -> Callable[[Any], np.ndarray | None]:
    """JointState -> its joints (n,)."""
    pick = _picker(source)
    return lambda message: pick(message.name, getattr(message, source.field))


def command_decoder(source: Joints) -> Callable[[Any], Any]:
    """Command -> its set-point (n,); a trajectory -> times from start [ns] and set-points."""
    if source.type == ARRAY:
        return lambda message: _scaled(source, message.data, source.indices)
    if source.type != TRAJECTORY:
        return joint_decoder(source)
    pick = _picker(source)

    def trajectory(message: Any) -> tuple[list[int], list[np.ndarray]] | None:
        if not message.points:
            raise Unusable("got a trajectory without points, expected at least one")
        times, points = [], []
        for point in message.points:
            value = pick(message.joint_names, point.positions)
            if value is None:
                return None
            times.append(point.time_from_start.sec * 1_000_000_000 + point.time_from_start.nanosec)
            points.append(value)
        if any(a > b for a, b in pairwise(times)):
            raise Unusable("got a trajectory whose points run backwards")
        return times, points

    return trajectory
