"""What comes in: where a contract reads pictures and values from, and how they are turned into the policy's units."""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from policy.errors import InputError
from policy.robot import message_fields, rotation
from policy.robot.message_types import COMPRESSED, JOINT_STATE, TRAJECTORY

Encoding = Literal[
    "rgb8",
    "bgr8",
    "rgba8",
    "bgra8",
    "mono8",
    "yuv422",
    "uyvy",
    "yuv422_yuy2",
    "yuyv",
    "bayer_rggb8",
    "bayer_bggr8",
    "bayer_gbrg8",
    "bayer_grbg8",
    "16UC1",
    "32FC1",
    "jpeg",
    "png",
]
RAW = tuple(name for name in get_args(Encoding) if name not in ("jpeg", "png"))
DEPTH = ("16UC1", "32FC1")  # mm and m; of a CompressedImage, as a PNG
YUV = ("yuv422", "uyvy", "yuv422_yuy2", "yuyv")
TURN = 2 * np.pi  # of a joint that turns without end, in the units of the policy


@dataclass(frozen=True)
class Camera:
    """One camera: what arrives is checked against this, what comes out is RGB, or the distance of each pixel [m]."""

    topic: str
    type: Literal["sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"]
    encoding: Encoding
    height: int
    width: int
    stamp: Literal["header", "receive"] = "header"
    max_age: float = 0.2  # s

    @property
    def depth(self) -> bool:
        """Whether it gives distances: float32 (height, width, 1) m, 0 where unknown; else uint8 (height, width, 3)."""
        return self.encoding in DEPTH

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of its pictures."""
        return self.height, self.width, 1 if self.depth else 3

    @property
    def dtype(self) -> "np.dtype[Any]":
        """Of its pictures."""
        return np.dtype(np.float32 if self.depth else np.uint8)

    def faults(self) -> dict[str, str]:
        """What is wrong with it: "" or ".key" -> what was given and what is expected."""
        valid = ("jpeg", "png", *DEPTH) if self.type == COMPRESSED else RAW
        faults = {}
        if self.encoding not in valid:
            faults[".encoding"] = (
                f"got {self.encoding} for {self.type}, expected {', '.join(valid[:-1])} or {valid[-1]}"
            )
        if not self.max_age > 0:
            faults[".max_age"] = f"got {self.max_age}, expected a positive number of seconds"
        if self.height <= 0 or self.width <= 0:
            faults[""] = f"got {self.width}x{self.height} pixels"
        elif self.width % 2 and self.encoding in YUV:
            faults[".width"] = f"got {self.width}, {self.encoding} has pixels in pairs"
        return faults


@dataclass(frozen=True)
class Source:
    """Where numbers are read from: value = scale * raw + offset, in the units of the policy.

    By the names of their joints in a JointState or a JointTrajectory, by paths (`fields`) in any other message. The
    quaternion at `orientation` gives three values more, its rotation vector from `reference` (policy.robot.rotation).
    """

    topic: str
    type: str = JOINT_STATE  # package/msg/Name
    joints: tuple[str, ...] = ()  # names in the message
    fields: tuple[str, ...] = ()  # paths in the message, such as pose.position.x or data[3]
    orientation: str = ""  # path of a geometry_msgs/Quaternion, such as pose.orientation
    reference: tuple[float, ...] = (0.0, 0.0, 0.0, 1.0)  # orientation (x, y, z, w) whose rotation vector is 0
    indices: tuple[int, ...] = ()  # short for the fields data[i] of an array
    names: tuple[str, ...] = ()  # names in the spec; the joints' own unless given
    field: Literal["position", "velocity", "effort"] = "position"  # of a JointState
    reduce: Literal["none", "sum"] = "none"
    scale: float | tuple[float, ...] = 1.0  # of all raw numbers or of each; -1 turns a joint's direction
    offset: float | tuple[float, ...] = 0.0
    continuous: bool | tuple[bool, ...] = False  # turns without end [rad]: see policy.robot.continuous
    stamp: Literal["header", "receive"] = "header"
    max_age: float = 0.2  # s

    @property
    def spec_names(self) -> tuple[str, ...]:
        """The names of its values in the spec, n of them."""
        return self.names or self.joints

    @functools.cached_property
    def paths(self) -> tuple[str, ...]:
        """The paths of the numbers that are read, none where joints are read by name."""
        quaternion = tuple(f"{self.orientation}.{axis}" for axis in "xyzw") if self.orientation else ()
        return (*self.fields, *(f"data[{i}]" for i in self.indices), *quaternion)

    @property
    def read(self) -> int:
        """How many numbers are read beside the orientation: m."""
        return len(self.joints or self.fields or self.indices)

    @property
    def summed(self) -> int:
        """How many values these numbers become."""
        return 1 if self.reduce == "sum" else self.read

    @functools.cached_property
    def scales(self) -> np.ndarray:
        """Of each number that is read, (m,)."""
        return np.broadcast_to(np.array(self.scale, float), self.read)

    @functools.cached_property
    def offsets(self) -> np.ndarray:
        """Of each value that these numbers become."""
        return np.broadcast_to(np.array(self.offset, float), self.summed)

    @functools.cached_property
    def turns(self) -> np.ndarray:
        """The length of a turn of each value that wraps, (n,), 0 of the others."""
        turns = np.zeros(len(self.spec_names))
        turns[: self.summed] = np.where(self.continuous, TURN, 0.0)
        return turns

    def part(self, names: Sequence[str]) -> "Source":
        """The same for some of its names, in their order; an orientation or a sum only as a whole."""
        if tuple(names) == self.spec_names:
            return self
        chosen = [self.spec_names.index(name) for name in names]
        if self.orientation or self.reduce == "sum":
            raise InputError(f"{self.topic}: {', '.join(names)} cannot be read apart from {', '.join(self.spec_names)}")
        return replace(
            self,
            joints=tuple(self.joints[i] for i in chosen if self.joints),
            fields=tuple(self.fields[i] for i in chosen if self.fields),
            indices=tuple(self.indices[i] for i in chosen if self.indices),
            names=tuple(names),
            scale=tuple(self.scales[chosen].tolist()),
            offset=tuple(self.offsets[chosen].tolist()),
            continuous=tuple((self.turns[chosen] > 0).tolist()),
        )

    def convert(self, raw: np.ndarray, speed: bool = False) -> np.ndarray:
        """Raw numbers (..., m), then a quaternion if there is one, as values (..., n); speeds know no offset."""
        values: np.ndarray = raw[..., : self.read] * self.scales
        if self.reduce == "sum":
            values = values.sum(-1, keepdims=True)
        if not speed:
            values = values + self.offsets
        if self.orientation:
            turned = rotation.rotation_vector(raw[..., self.read :], np.array(self.reference))
            values = np.concatenate([values, turned], -1)
        return values

    def invert(self, values: np.ndarray) -> np.ndarray:
        """Values (..., n) as raw numbers (..., m), then the quaternion; a sum is shared equally."""
        raw: np.ndarray = values[..., : self.summed] - self.offsets
        if self.reduce == "sum":
            raw = np.repeat(raw / self.read, self.read, -1)
        raw = raw / self.scales
        if self.orientation:
            turned = rotation.quaternion(values[..., self.summed :], np.array(self.reference))
            raw = np.concatenate([raw, turned], -1)
        return raw

    def faults(self) -> dict[str, str]:
        """What is wrong with it: "" or ".key" -> what was given and what is expected."""
        if not re.fullmatch(r"\w+/msg/\w+", self.type):
            return {".type": f"got {self.type!r}, expected a message type such as {JOINT_STATE}"}
        if not self.max_age > 0:
            return {".max_age": f"got {self.max_age}, expected a positive number of seconds"}
        for path in self.paths:
            try:
                message_fields.steps(path)
            except ValueError as error:
                return {".fields": str(error)}
        return self._unread() or self._lengths()

    def _unread(self) -> dict[str, str]:
        """What keeps a message of this type from being read."""
        by_name = self.type in (JOINT_STATE, TRAJECTORY)
        given = [key for key in ("joints", "fields", "indices") if getattr(self, key)]
        wanted = "joints" if by_name else "fields"
        if len(given) > 1 or (not given and not self.orientation):
            what = f"got {' and '.join(given) or 'nothing'}, "
        elif self.joints and not by_name:
            what = "it names no joints, "
        elif self.type == TRAJECTORY and not self.joints:
            what = "its joints have names, "
        elif self.joints and self.orientation:
            what = "it has no orientation, "
        else:
            return {}
        example = "" if by_name else ", such as pose.position.x or data[3]"
        return {"": f"{what}list the {wanted} to read of a {self.type}{example}"}

    def _lengths(self) -> dict[str, str]:
        width = self.summed + (3 if self.orientation else 0)
        if len(self.spec_names) != width:
            return {"": f"{width} values but {len(self.spec_names)} names; give one name a value in `names`"}
        faults = {}
        for key, wanted in (("scale", self.read), ("offset", self.summed), ("continuous", self.summed)):
            value = getattr(self, key)
            if isinstance(value, tuple) and len(value) != wanted:
                faults[f".{key}"] = f"got {len(value)} values, expected one number or {wanted}"
        if not np.all(self.scale):
            faults[".scale"] = "got 0, and with it nothing is read"
        if len(self.reference) != 4 or not any(self.reference):
            faults[".reference"] = f"got {list(self.reference)}, expected a quaternion x, y, z, w"
        return faults
