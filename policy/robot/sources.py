"""What comes in: where a contract reads pictures and values from, and how they are turned into the policy's units."""

from dataclasses import dataclass
from typing import Literal

from policy.robot.message_types import ARRAY, COMPRESSED, JOINT_STATE


@dataclass(frozen=True)
class Camera:
    """One camera: what arrives is checked against this, what comes out is RGB."""

    topic: str
    type: Literal["sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"]
    encoding: Literal["rgb8", "bgr8", "jpeg", "png"]
    height: int
    width: int
    stamp: Literal["header", "receive"] = "header"
    max_age: float = 0.2  # s

    def faults(self) -> dict[str, str]:
        """What is wrong with it: "" or ".key" -> what was given and what is expected."""
        valid = ("jpeg", "png") if self.type == COMPRESSED else ("rgb8", "bgr8")
        faults = {}
        if self.encoding not in valid:
            faults[".encoding"] = f"got {self.encoding} for {self.type}, expected {' or '.join(valid)}"
        if self.height <= 0 or self.width <= 0:
            faults[""] = f"got {self.width}x{self.height} pixels"
        return faults


@dataclass(frozen=True)
class Source:
    """Where joint values are read from: value = scale * raw + offset, in the units of the policy."""

    topic: str
    type: Literal[
        "sensor_msgs/msg/JointState", "trajectory_msgs/msg/JointTrajectory", "std_msgs/msg/Float64MultiArray"
    ] = JOINT_STATE
    joints: tuple[str, ...] = ()  # names in the message
    indices: tuple[int, ...] = ()  # places in a Float64MultiArray, which has no names
    names: tuple[str, ...] = ()  # names in the spec; the joints' own unless given
    field: Literal["position", "velocity", "effort"] = "position"
    reduce: Literal["none", "sum"] = "none"
    scale: float = 1.0
    offset: float = 0.0
    stamp: Literal["header", "receive"] = "header"
    max_age: float = 0.2  # s

    def faults(self) -> dict[str, str]:
        """What is wrong with it: "" or ".key" -> what was given and what is expected."""
        read = self.indices if self.type == ARRAY else self.joints
        if not read:
            return {"": f"list the {'indices' if self.type == ARRAY else 'joints'} to read of a {self.type}"}
        width, names = 1 if self.reduce == "sum" else len(read), self.names or self.joints
        if len(names) != width:
            return {"": f"{width} values but {len(names)} names; give one name a value in `names`"}
        return {}
