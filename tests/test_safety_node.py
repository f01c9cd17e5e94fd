"""The safety node over real DDS: what it lets through, what it stops. Its rules: tests/test_supervisor.py."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

# isort: split  (ros_tiny skips this file where there is no ROS)
from diagnostic_msgs.msg import DiagnosticStatus
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from ros_nodes import bridge
from ros_nodes.safety_node import SafetyNode
from tests.ros_tiny import LONG, Bench, Robot, bench, until, within_limits

PATIENT = 3.0  # s: other work may have the machine
DT = 50_000_000
TIMES = DT * np.arange(1, 17)


class Driver:
    """Commands the first joint at some rad/s at 20 Hz, as a policy would, until told otherwise."""

    def __init__(self, stage: Bench, robot: Robot, speed: float) -> None:
        self.speed, self.robot, self.spoil = speed, robot, lambda points: points
        self._out = {
            t: stage.ears.create_publisher(JointTrajectory, f"policy/{t}", bridge.COMMAND) for t in robot.controllers
        }
        self.on = True
        stage.ears.create_timer(0.05, self.drive)

    def drive(self) -> None:
        if not self.on:
            return
        points = np.tile(self.robot.action, (16, 1)).astype(float)
        points[:, 0] += self.speed * TIMES * 1e-9
        for topic, message in bridge.trajectories(self.robot.contract, TIMES, self.spoil(points)).items():
            self._out[topic].publish(message)


class Stand:
    def __init__(self, stage: Bench, speed: float = 0.2) -> None:
        self.stage, self.robot = stage, stage.add(Robot(stage.context))
        self.said = stage.ears.listen("safety_node/status", DiagnosticStatus, bridge.LATCHED)
        self.out = stage.ears.listen("arm_controller/joint_trajectory", JointTrajectory, bridge.COMMAND)
        self.node = stage.node(SafetyNode, command_timeout=PATIENT, state_timeout=PATIENT)
        self.driver = Driver(stage, self.robot, speed)

    def moves(self) -> None:
        was = self.robot.action[0]
        until(lambda: abs(self.robot.action[0] - was) > 0.01, "the arm moves")

    def says(self, words: str) -> None:
        until(lambda: self.said and words in self.said[-1].message, f"the safety node says {words!r}")

    def rests(self) -> None:
        def still() -> bool:
            recent = [a for _, a in self.robot.setpoints[-30:]]
            return float(np.ptp(recent, axis=0).max()) < 1e-4

        until(still, "the arm rests")


@pytest.fixture
def stage() -> Iterator[Bench]:
    with bench() as made:
        yield made


def test_what_goes_to_the_controller_is_short_and_ends_at_rest(stage: Bench) -> None:
    stand = Stand(stage)
    stand.moves()
    until(lambda: len(stand.out) > 10, "trajectories pass")
    for message in stand.out:
        times, _, speeds = bridge.points(message)
        assert len(times) <= 4 and times[0] > 0 and (speeds[-1] == 0).all()
        assert bridge.nanoseconds(message.header.stamp) == 0
    assert not stand.robot.rejected


def test_beyond_the_limits_it_is_bounded_and_said(stage: Bench) -> None:
    stand = Stand(stage)
    stand.moves()
    stand.driver.speed = 5.0
    high = stand.robot.contract.limits.high[0]
    until(lambda: stand.robot.action[0] > high - 0.01, "the arm is at its limit")
    time.sleep(0.3)
    within_limits(stand.robot)
    assert any("velocity limit of panda_joint1" in k for k in stand.node._supervisor.limited)


def test_silence_is_held_and_forgiven(stage: Bench) -> None:
    stand = Stand(stage)
    stand.moves()
    stand.driver.on = False
    stand.says("commands are silent")
    stand.rests()
    stand.driver.on = True
    stand.moves()


def spoil_nan(points: np.ndarray) -> np.ndarray:
    points[5, 2] = np.nan
    return points


@pytest.mark.parametrize("way", ["nan", "stop", "estop"])
def test_a_stop_holds_until_it_is_ended(stage: Bench, way: str) -> None:
    stand = Stand(stage)
    stand.moves()
    call: Any = stage.ears.call
    if way == "nan":
        stand.driver.spoil = spoil_nan
    elif way == "stop":
        assert call("safety_node/stop", Trigger).success
    else:
        assert call("safety_node/estop", SetBool, data=True).success
    stand.says("stopped")
    assert stand.said[-1].level == DiagnosticStatus.ERROR
    stand.rests()
    stand.driver.spoil = lambda points: points
    if way == "estop":
        refused = call("safety_node/reset", Trigger)
        assert not refused.success and "release" in refused.message
        call("safety_node/estop", SetBool, data=False)
    stand.rests()
    assert call("safety_node/reset", Trigger).success
    stand.moves()


def test_half_a_command_moves_nothing(stage: Bench) -> None:
    """The arm's part without the gripper's: what was meant is not known."""
    stand = Stand(stage)
    stand.driver.on = False
    arm = "arm_controller/joint_trajectory"
    out = stage.ears.create_publisher(JointTrajectory, f"policy/{arm}", bridge.COMMAND)
    points = np.tile(stand.robot.action, (16, 1))
    points[:, 0] += 0.02
    message = bridge.trajectories(stand.robot.contract, TIMES, points)[arm]
    for _ in range(20):
        out.publish(message)
        time.sleep(0.05)
    assert not stand.out
    stand.driver.on = True
    stand.moves()


def test_parts_of_two_commands_are_not_mixed(stage: Bench) -> None:
    """A part of each of two commands was lost, as in a full queue: no stop, and the next whole one passes."""
    stand = Stand(stage)
    stand.moves()
    stand.driver.on = False
    points = np.tile(stand.robot.action, (16, 1))
    arm, gripper = stand.robot.controllers
    for times, topic in ((TIMES, arm), (TIMES[:3], gripper)):
        message = bridge.trajectories(stand.robot.contract, times, points[: len(times)])[topic]
        stand.driver._out[topic].publish(message)
    until(lambda: stand.node._problem == "parts of different commands", "it tells them apart")
    stand.driver.on = True
    stand.moves()
    assert not any("stopped" in m.message for m in stand.said)


def test_a_command_that_is_not_understood_is_held_not_stopped(stage: Bench) -> None:
    stand = Stand(stage)
    stand.moves()
    stand.driver.on = False
    points = np.tile(stand.robot.action, (16, 1))
    for topic, message in bridge.trajectories(stand.robot.contract, TIMES, points).items():
        message.header.stamp = bridge.stamp(1)
        stand.driver._out[topic].publish(message)
    stand.says("got a trajectory with a stamp")
    stand.rests()
    stand.driver.on = True
    stand.moves()


def test_a_contract_that_is_none_ends_it_with_one_line(stage: Bench) -> None:
    process = stage.start("safety_node", contract="tabletopp")
    said, _ = process.communicate(timeout=LONG)
    assert process.returncode == 2 and "did you mean 'tabletop'" in said and "Traceback" not in said
