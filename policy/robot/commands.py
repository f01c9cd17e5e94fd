"""What goes out: which controller gets which part of the action, as which message, and what limits it.

kind       values of the action                 message types (`type`)
position   one a joint [rad, m]                 JointTrajectory, FollowJointTrajectory, Float64MultiArray,
                                                GripperCommand
pose       x y z [m], rotation vector [rad]     PoseStamped
velocity   one a joint, per second              Float64MultiArray with `interface: velocity`
twist      linear [m/s], angular [rad/s]        TwistStamped
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from policy.robot.message_types import ARRAY, FOLLOW, GRIPPER, POSE, TRAJECTORY, TWIST
from policy.robot.sources import Source

Kind = Literal["position", "pose", "velocity", "twist"]
ACTIONS = (FOLLOW, GRIPPER)  # of control_msgs: a bag does not hold their goals
POSITION_FIELDS = tuple(f"pose.position.{c}" for c in "xyz")
TWIST_FIELDS = tuple(f"twist.{part}.{c}" for part in ("linear", "angular") for c in "xyz")
TRACKING = 0.3  # s: what velocity_max covers in it is the error of what follows


@dataclass(frozen=True)
class Command:
    """Where a part of the action goes: robot = scale * action + offset. Limits are in units of the policy.

    Of a pose and a twist `velocity_max` and `tracking_max` have two values: of the position and of the rotation.
    """

    topic: str  # or the name of an action server
    velocity_max: tuple[float, ...]  # per second
    position_min: tuple[float, ...] = ()  # of what is measured; of a twist x, y and z
    position_max: tuple[float, ...] = ()
    joints: tuple[str, ...] = ()  # the controller's
    names: tuple[str, ...] = ()  # names in the spec; the joints' own unless given
    type: Literal[
        "trajectory_msgs/msg/JointTrajectory",
        "control_msgs/action/FollowJointTrajectory",
        "std_msgs/msg/Float64MultiArray",
        "control_msgs/action/GripperCommand",
        "geometry_msgs/msg/PoseStamped",
        "geometry_msgs/msg/TwistStamped",
    ] = TRAJECTORY
    interface: Literal["position", "velocity"] = "position"  # of the controller behind a Float64MultiArray
    measured: tuple[str, ...] = ()  # names of the state that measure it; its own names, of velocities its joints
    unbounded: bool = False  # velocities without position limits, as of wheels: nothing need measure where they are
    frame: str = ""  # frame_id of a pose or twist
    reference: tuple[float, ...] = (0.0, 0.0, 0.0, 1.0)  # orientation x, y, z, w where a rotation vector is zero
    max_effort: float = 0.0  # of a GripperCommand [N]; 0: the gripper's own
    scale: float | tuple[float, ...] = 1.0  # of all values or of each; -1 turns a joint's direction
    offset: float | tuple[float, ...] = 0.0
    gripper: bool = False  # opens and closes: its command may jump, and says what is held
    tracking_max: tuple[float, ...] | None = None  # error of what follows; what velocity_max covers in 0.3 s
    initial: tuple[float, ...] = ()  # nothing measures it: its state is its last command, and this before the first
    # where a demonstration's action is read, this topic unless given; next_state: it is what the state becomes
    demonstration: Source | Literal["next_state"] | None = None

    @property
    def kind(self) -> Kind:
        """What the values of the action are."""
        if self.type in (POSE, TWIST):
            return "pose" if self.type == POSE else "twist"
        return self.interface

    @property
    def spec_names(self) -> tuple[str, ...]:
        """The names of its values in the spec."""
        return self.names or self.joints

    @property
    def scales(self) -> np.ndarray:
        """Of each value, (J,)."""
        return np.broadcast_to(np.array(self.scale, float), len(self.spec_names))

    @property
    def offsets(self) -> np.ndarray:
        """Of each value, (J,)."""
        return np.broadcast_to(np.array(self.offset, float), len(self.spec_names))

    @property
    def measured_names(self) -> tuple[str, ...]:
        """The names of the state that tell where it is: of each value, of a twist of x, y and z."""
        if self.unbounded:
            return ()
        return self.measured or (self.joints if self.kind == "velocity" else self.spec_names)

    @property
    def source(self) -> Source:
        """Where the action of a demonstration is read from."""
        return self.demonstration if isinstance(self.demonstration, Source) else self.sent

    @property
    def sent(self) -> Source:
        """What goes out on its topic, read as an action."""
        if self.kind == "pose":
            return Source(
                self.topic,
                POSE,
                fields=POSITION_FIELDS,
                orientation="pose.orientation",
                reference=self.reference,
                names=self.names,
            )
        if self.kind == "twist":
            return Source(self.topic, TWIST, fields=TWIST_FIELDS, names=self.names)
        scale, offset = tuple((1 / self.scales).tolist()), tuple((-self.offsets / self.scales).tolist())
        if self.type == ARRAY:
            indices = tuple(range(len(self.joints)))
            return Source(self.topic, ARRAY, indices=indices, names=self.spec_names, scale=scale, offset=offset)
        return Source(self.topic, TRAJECTORY, joints=self.joints, names=self.names, scale=scale, offset=offset)

    def expanded(self, values: Sequence[float]) -> list[float]:
        """One value for each name, of one for each part of a pose or twist."""
        return [v for v in values for _ in range(3)] if self.kind in ("pose", "twist") else list(values)

    def limits(self) -> tuple[list[float], list[float], list[float]]:
        """Lowest and highest value and change per second of each; a velocity may change at once."""
        fastest = self.expanded(self.velocity_max)
        if self.kind in ("velocity", "twist"):
            return [-v for v in fastest], fastest, [np.inf] * len(fastest)
        return list(self.position_min), list(self.position_max), fastest

    def tracking(self) -> list[float]:
        """How far each may be for long from where it should be; of angular velocities nothing is measured."""
        furthest = self.expanded(self.tracking_max or [TRACKING * v for v in self.velocity_max])
        return furthest if self.kind != "twist" else furthest[:3] + [np.inf] * 3

    def faults(self) -> dict[str, str]:
        """What is wrong with it: "" or ".key" -> what was given and what is expected."""
        hand, names = self.kind in ("pose", "twist"), len(self.spec_names)
        width = 6 if hand else len(self.joints)
        places = 0 if self.unbounded else 3 if self.kind == "twist" else width
        parts = 2 if hand else width
        of = {"pose": "x, y, z and a rotation vector", "twist": "a twist"}.get(self.kind, f"{width} joints")
        unfit = dict(reversed(self._unfit()))  # of one key the first
        if ".unbounded" in unfit:  # by which lengths are judged
            return {".unbounded": unfit[".unbounded"]}
        faults = {
            f".{name}": f"got {given} values for {of}" + (f", expected {wanted}" if hand else "")
            for name, given, wanted in (
                ("names", names, width),
                ("position_min", len(self.position_min), places),
                ("position_max", len(self.position_max), places),
                ("velocity_max", len(self.velocity_max), parts),
                ("tracking_max", parts if self.tracking_max is None else len(self.tracking_max), parts),
                ("measured", len(self.measured_names) if self.measured or self.kind != "twist" else 0, places),
            )
            if given != wanted
        }
        if faults or unfit:
            return faults | {key: fault for key, fault in unfit.items() if key not in faults}
        if not all(a < b for a, b in zip(self.position_min, self.position_max, strict=True)):
            return {"": "position_min is not below position_max"}
        if self.source.spec_names != self.spec_names:
            return {".demonstration.names": "expected those of the action"}
        return {f".demonstration{key}": fault for key, fault in self.source.faults().items()}

    def _unfit(self) -> list[tuple[str, str]]:
        """Keys that do not go together: key, and what to do."""
        hand, velocities = self.kind in ("pose", "twist"), self.kind in ("velocity", "twist")
        unit = np.isclose(np.linalg.norm(self.reference), 1, atol=1e-3) if len(self.reference) == 4 else False
        checks = [
            (not np.all(self.scale), ".scale", "got 0"),
            *(
                (
                    isinstance(value, tuple) and len(value) != len(self.spec_names),
                    f".{key}",
                    f"got {np.size(value)} values, expected one number or {len(self.spec_names)}",
                )
                for key, value in (("scale", self.scale), ("offset", self.offset))
            ),
            (
                hand and (bool(np.any(np.array(self.scale) != 1)) or bool(np.any(self.offset))),
                ".scale",
                f"a {self.kind} goes out in metres and radians; leave scale and offset away",
            ),
            (hand and bool(self.joints), ".joints", f"a {self.kind} has none; name its 6 values in `names`"),
            (not hand and not self.joints, ".joints", "empty, expected the controller's joints"),
            (hand and not self.frame, ".frame", f"expected the frame_id in which the {self.kind} is given"),
            (not unit, ".reference", f"got {list(self.reference)}, expected a quaternion x, y, z, w of length 1"),
            (
                self.interface == "velocity" and self.type != ARRAY,
                ".interface",
                f"velocities go out as {ARRAY} (joints) or {TWIST} (a hand)",
            ),
            (
                velocities and bool(set(self.measured_names) & set(self.spec_names)),
                ".names",
                "a velocity is not the position that measures it; name it otherwise, such as elbow_velocity",
            ),
            (
                self.unbounded and (not velocities or bool(self.measured)),
                ".unbounded",
                "only velocities can do without position limits, and then without `measured`",
            ),
            (
                self.unbounded and bool(self.position_min or self.position_max),
                ".unbounded",
                "got position limits beside it; take them out, or `unbounded`",
            ),
            (
                self.type == GRIPPER and not (self.gripper and len(self.joints) == 1),
                ".joints",
                f"{GRIPPER} moves one joint, with `gripper: true`",
            ),
            (
                len(self.initial) not in (0, len(self.spec_names)),
                ".initial",
                f"got {len(self.initial)} values for {len(self.spec_names)} names",
            ),
            (
                bool(self.initial) and (self.type in ACTIONS or self.kind != "position"),
                ".initial",
                "only a position that is commanded by a topic can be its own state; read what the robot measures",
            ),
            (
                bool(np.any(np.array(self.velocity_max) <= 0)),
                ".velocity_max",
                f"got {list(self.velocity_max)}, expected positive values",
            ),
            (
                self.tracking_max is not None and bool(np.any(np.array(self.tracking_max) <= 0)),
                ".tracking_max",
                f"got {list(self.tracking_max or ())}, expected positive values",
            ),
            (
                len(self.initial) == len(self.position_min) == len(self.position_max)
                and not all(
                    a <= v <= b for a, v, b in zip(self.position_min, self.initial, self.position_max, strict=True)
                ),
                ".initial",
                f"got {list(self.initial)}, expected values from position_min to position_max",
            ),
            (
                self.type in ACTIONS and self.demonstration is None,
                ".demonstration",
                "a bag holds no goals of an action; say where a demonstration's action is read",
            ),
        ]
        return [(key, fault) for wrong, key, fault in checks if wrong]


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
    joints: tuple[str, ...]  # of a pose or twist its names
    columns: np.ndarray  # (J,) int, of the action vector
    measured: np.ndarray  # (J,) int, of the state: where each is measured; of a twist (3,)
    scale: np.ndarray  # (J,)
    offset: np.ndarray  # (J,)
    command: Command  # the first of its groups: of all but trajectories there is one

    @property
    def streamed(self) -> bool:
        """Whether it takes one set-point at a time, and no trajectories."""
        return self.command.type not in (TRAJECTORY, FOLLOW)
