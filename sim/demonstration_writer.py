"""Writes a simulated episode as the messages that a live robot publishes: cameras, joints, commands, labels."""

from typing import Any

import numpy as np

from policy.data.bag_writer import Channel, EpisodeWriter, channels
from policy.data.message_writer import MessageWriter
from policy.data.raw import TYPES
from policy.robot import contract as contracts
from policy.robot.contract import Contract
from sim.worlds.interface import JointReading, World

EPOCH = 1_767_225_600 * 10**9  # ns; the clock of a bag begins at a date (2026-01-01), as a robot's does
MESSAGES = TYPES.types


class DemonstrationWriter:
    """Writes what happens in a world to a bag."""

    def __init__(self, bag: EpisodeWriter, contract: Contract, world: World) -> None:
        self._bag, self._contract, self._world = bag, contract, world
        self._messages = MessageWriter(bag, contract)
        self._others = {name: MessageWriter(bag, contracts.load(name)) for name in world.also_recorded}
        self.begin()

    def begin(self) -> None:
        """Make the world's time now the beginning of the bag."""
        self._begin = EPOCH - self._world.time_ns

    def instruction(self, instruction: str, task: str) -> None:
        """The instruction, and the label that names its task."""
        assert self._contract.labels.task is not None
        self._messages.text(self._contract.instruction, instruction, self._now())
        self._messages.text(self._contract.labels.task, task, self._now())

    def mode(self, mode: str) -> None:
        """The label of the mode, one of policy.spec.MODES."""
        assert self._contract.labels.mode is not None
        self._messages.text(self._contract.labels.mode, mode, self._now())

    def correction(self, corrects: bool) -> None:
        """The label of who is in control: whether somebody corrects the policy."""
        self._messages.correction(corrects, self._now())

    def observation(self) -> None:
        """The joint states since the last control step, the images, the contact label."""
        for topic, joints, reading in self._world.joint_states():
            self._joint_state(topic, joints, reading)
        frame = self._world.frame()
        self._messages.state(self._now(), frame.state, without=self._world.joint_topics)
        for name, image in frame.images.items():
            self._image(name, image)
        self._messages.contact(self._world.contact, self._now())

    def step(self, action: np.ndarray) -> None:
        """A control step: what is seen, and the set-points (A,) that answer it."""
        self.observation()
        self.command(action)

    def command(self, action: np.ndarray) -> None:
        """Set-points (A,) to be reached one control step from now."""
        self._messages.command(self._now(), action)
        for name, writer in self._others.items():
            writer.command(self._now(), self._world.translated(action, name))

    def commanded(self, action: np.ndarray, since: int) -> None:
        """Set-points (A,) that were to be reached one control step from `since`, the world's time [ns]."""
        self._messages.command(self._begin + since, action)

    def _joint_state(self, topic: str, joints: tuple[str, ...], reading: JointReading) -> None:
        stamp = self._begin + reading.stamp
        message = MESSAGES["sensor_msgs/msg/JointState"](
            header=_header(stamp, ""),
            name=list(joints),
            position=reading.position,
            velocity=reading.velocity,
            effort=reading.effort,
        )
        self._bag.write(topic, message, stamp)

    def _image(self, camera: str, image: np.ndarray) -> None:
        height, width, _ = image.shape
        message = MESSAGES["sensor_msgs/msg/Image"](
            header=_header(self._now(), f"{camera}_camera"),
            height=height,
            width=width,
            encoding="rgb8",
            is_bigendian=0,
            step=3 * width,
            data=image.reshape(-1),
        )
        self._bag.write(self._contract.cameras[camera].topic, message, self._now())

    def _now(self) -> int:
        return self._begin + self._world.time_ns


def recorded_channels(world: World) -> list[Channel]:
    """The topics of a recording: those of the world's contract and of the others whose commands it holds."""
    robots = [world.contract(), *map(contracts.load, world.also_recorded)]
    return list({c.topic: c for robot in robots for c in channels(robot)}.values())


def _header(stamp: int, frame: str) -> Any:
    time = MESSAGES["builtin_interfaces/msg/Time"](*divmod(stamp, 10**9))
    return MESSAGES["std_msgs/msg/Header"](stamp=time, frame_id=frame)
