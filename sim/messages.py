"""The simulated robot's messages, as a live robot publishes them: cameras, joints, commands, instruction, labels."""

import numpy as np

from policy.data.bags import TYPES, EpisodeWriter
from policy.robot.contract import Contract
from sim.world import CAMERAS, RATE, Joints, World

EPOCH = 1_767_225_600 * 10**9  # ns; bags bear a date (2026-01-01), as a robot's do
JOINTS = [f"panda_joint{i}" for i in range(1, 8)] + ["panda_finger_joint1", "panda_finger_joint2"]
STEP_NS = 10**9 // RATE


class Messages:
    """Writes what happens in a world to a bag."""

    def __init__(self, bag: EpisodeWriter, contract: Contract, world: World) -> None:
        self._bag, self._contract, self._world = bag, contract, world
        self.begin()
        t = TYPES.types
        self._time, self._duration = t["builtin_interfaces/msg/Time"], t["builtin_interfaces/msg/Duration"]
        self._header, self._bool = t["std_msgs/msg/Header"], t["std_msgs/msg/Bool"]
        self._string = t["std_msgs/msg/String"]
        self._image, self._joint_state = t["sensor_msgs/msg/Image"], t["sensor_msgs/msg/JointState"]
        self._trajectory = t["trajectory_msgs/msg/JointTrajectory"]
        self._point = t["trajectory_msgs/msg/JointTrajectoryPoint"]

    def begin(self) -> None:
        """The world has been set up: its time now is the bag's first."""
        self._begin = EPOCH - self._world.time_ns

    def instruction(self, words: str, task: str) -> None:
        """What the robot is told, and the label that names the task."""
        now = self._now()
        self._bag.write(self._contract.instruction, self._string(data=words), now)
        self._bag.write(self._contract.labels.task, self._string(data=task), now)

    def mode(self, mode: str) -> None:
        """The label of what the arm is about: one of policy.spec.MODES."""
        self._bag.write(self._contract.labels.mode, self._string(data=mode), self._now())

    def observation(self) -> None:
        """The joint states since the last step, both images, the contact label."""
        for joints in self._world.joints:
            self._joints(joints)
        frame, now = self._world.frame(), self._now()
        for name in CAMERAS:
            camera = self._contract.cameras[name]
            height, width, _ = frame.images[name].shape
            self._bag.write(
                camera.topic,
                self._image(
                    header=self._head(now, f"{name}_camera"),
                    height=height,
                    width=width,
                    encoding="rgb8",
                    is_bigendian=0,
                    step=3 * width,
                    data=frame.images[name].reshape(-1),
                ),
                now,
            )
        self._bag.write(self._contract.labels.contact, self._bool(data=self._world.contact), now)

    def command(self, action: np.ndarray) -> None:
        """Set-points (8,) to be reached one control step from now."""
        now = self._now()
        empty = np.zeros(0)
        for topic, names, positions in self._contract.split(action):
            point = self._point(
                positions=np.asarray(positions, float),
                velocities=empty,
                accelerations=empty,
                effort=empty,
                time_from_start=self._duration(sec=0, nanosec=STEP_NS),
            )
            self._bag.write(
                topic, self._trajectory(header=self._head(now, ""), joint_names=list(names), points=[point]), now
            )

    def _joints(self, joints: Joints) -> None:
        stamp = self._begin + joints.stamp
        self._bag.write(
            "joint_states",
            self._joint_state(
                header=self._head(stamp, ""),
                name=JOINTS,
                position=joints.position,
                velocity=joints.velocity,
                effort=joints.effort,
            ),
            stamp,
        )

    def _now(self) -> int:
        return self._begin + self._world.time_ns

    def _head(self, stamp: int, frame: str) -> object:
        return self._header(stamp=self._time(sec=stamp // 10**9, nanosec=stamp % 10**9), frame_id=frame)
