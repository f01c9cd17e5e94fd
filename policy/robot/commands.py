"""What goes out: which controller gets which part of the action, and what limits it."""

from dataclasses import dataclass

import numpy as np

from policy.robot.message_types import TRAJECTORY
from policy.robot.sources import Source


@dataclass(frozen=True)
class Command:
    """Where a part of the action goes: robot = scale * action + offset. Limits are in units of the policy."""

    topic: str
    joints: tuple[str, ...]
    position_min: tuple[float, ...]
    position_max: tuple[float, ...]
    velocity_max: tuple[float, ...]
    names: tuple[str, ...] = ()  # names in the spec; the joints' own unless given
    scale: float = 1.0
    offset: float = 0.0
    gripper: bool = False  # opens and closes: its command may jump, and says what is held
    tracking_max: tuple[float, ...] | None = None  # error of a joint that follows; what velocity_max covers in 0.3 s
    demonstration: Source | None = None  # where a demonstration's action is read; this topic unless given

    @property
    def source(self) -> Source:
        """Where the action of a demonstration is read from."""
        return self.demonstration or Source(
            topic=self.topic,
            type=TRAJECTORY,
            joints=self.joints,
            names=self.names,
            scale=1 / self.scale,
            offset=-self.offset / self.scale,
        )

    def faults(self) -> dict[str, str]:
        """What is wrong with it: "" or ".key" -> what was given and what is expected."""
        faults = {
            f".{name}": f"got {len(given)} values for {len(self.joints)} joints"
            for name, given in (
                ("names", self.names or self.joints),
                ("position_min", self.position_min),
                ("position_max", self.position_max),
                ("velocity_max", self.velocity_max),
                ("tracking_max", self.velocity_max if self.tracking_max is None else self.tracking_max),
            )
            if len(given) != len(self.joints)
        }
        if self.scale == 0:
            return faults | {".scale": "got 0"}
        if self.demonstration and (self.demonstration.names or self.demonstration.joints) != (
            self.names or self.joints
        ):
            faults[".demonstration.names"] = "expected those of the action"
        if not all(a < b for a, b in zip(self.position_min, self.position_max, strict=False)):
            faults[""] = "position_min is not below position_max"
        return faults | {f".demonstration{key}": fault for key, fault in self.source.faults().items()}


@dataclass(frozen=True)
class Limits:
    """What safety enforces, each (A,) in units of the policy."""

    low: np.ndarray
    high: np.ndarray
    velocity: np.ndarray  # per second


@dataclass(frozen=True)
class Controller:
    """One controller's part of the action vector: robot = scale * action + offset."""

    topic: str
    joints: tuple[str, ...]
    columns: np.ndarray  # (J,) int, of the action vector
    scale: np.ndarray  # (J,)
    offset: np.ndarray  # (J,)
