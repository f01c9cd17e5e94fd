"""The safety node over real DDS: what it lets through, what it stops. Its rules: tests/test_safety.py."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# isort: split  (ros_tiny skips this file where there is no ROS)
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from policy.errors import InputError
from ros_nodes import bridge
from ros_nodes.bridge import ACTION_CHUNK
from ros_nodes.executor_thread import in_executor
from ros_nodes.safety_node import SafetyNode
from ros_nodes.stop_file import CRASHED, StopFile
from tests.ros_tiny import LONG, Bench, Robot, bench, until, within_limits

PATIENT = 3.0  # s: other work may have the machine
DT = 50_000_000
TIMES = DT * np.arange(1, 17)
ARM = "arm_controller/joint_trajectory"


class Commander:
    """Commands the first joint at some rad/s at 20 Hz, as a policy does, while it is `on`."""

    def __init__(self, stage: Bench, robot: Robot, speed: float) -> None:
        self.speed, self.robot, self.spoil = speed, robot, lambda points: points
        self.names = list(robot.contract.spec.action)
        self.out = stage.ears.create_publisher(JointTrajectory, ACTION_CHUNK, bridge.COMMAND)
        self.on, self.ears = True, stage.ears
        stage.ears.create_timer(0.05, self.drive)

    def drive(self) -> None:
        if self.on:
            points = np.tile(self.robot.action, (16, 1)).astype(float)
            points[:, 0] += self.speed * TIMES * 1e-9
            now = self.robot.get_clock().now().nanoseconds
            self.out.publish(bridge.trajectory(self.names, now, TIMES, self.spoil(points)))

    def pause(self) -> None:
        """No command is under way afterwards: it would take the place of what a test publishes next."""
        in_executor(self.ears, lambda: setattr(self, "on", False))


class Stand:
    def __init__(self, stage: Bench, speed: float = 0.2, inside: bool = True) -> None:
        self.stage, self.robot = stage, stage.add(Robot(stage.context))
        self.status = stage.ears.listen("safety_node/status", DiagnosticStatus, bridge.LATCHED)
        self.out = stage.ears.listen(ARM, JointTrajectory, bridge.COMMAND)
        self.parameters = {"command_timeout": PATIENT, "state_timeout": PATIENT}
        self.node = stage.node(SafetyNode, **self.parameters) if inside else None
        self.commander = Commander(stage, self.robot, speed)

    def moves(self) -> None:
        was = self.robot.action[0]
        until(lambda: abs(self.robot.action[0] - was) > 0.01, "the arm moves")

    def reports(self, text: str) -> None:
        until(lambda: self.status and text in self.status[-1].message, f"the safety node reports {text!r}")

    def rests(self) -> None:
        def still() -> bool:
            recent = [a for _, a in self.robot.setpoints[-30:]]
            return float(np.ptp(recent, axis=0).max()) < 1e-4

        until(still, "the arm rests")


@pytest.fixture
def stage() -> Iterator[Bench]:
    with bench() as made:
        yield made


def test_what_goes_to_the_controller_is_short_stamped_and_ends_at_rest(stage: Bench) -> None:
    stand = Stand(stage)
    stand.moves()
    until(lambda: len(stand.out) > 10, "trajectories pass")
    for message in stand.out:
        times, _, speeds = bridge.points(message)
        assert len(times) <= 8 and (np.diff(times) > 0).all() and times[-1] <= 250_000_000 + DT
        assert speeds is not None and (speeds[-1] == 0).all()
        assert abs(bridge.nanoseconds(message.header.stamp) - time.time_ns()) < LONG * 1e9
    assert not stand.robot.rejected


def test_beyond_the_limits_it_is_bounded_and_reported(stage: Bench) -> None:
    stand = Stand(stage)
    stand.moves()
    stand.commander.speed = 5.0
    high = stand.robot.contract.limits.high[0]
    until(lambda: stand.robot.action[0] > high - 0.01, "the arm is at its limit")
    until(lambda: stand.robot.action[0] > high - 1e-3, "the arm is there")
    within_limits(stand.robot)
    assert stand.node is not None and "velocity limit of panda_joint1" in stand.node._monitor.limited


def test_silence_is_held_and_forgiven(stage: Bench) -> None:
    stand = Stand(stage)
    stand.moves()
    stand.commander.pause()
    stand.reports("commands are silent")
    stand.rests()
    stand.commander.on = True
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
        stand.commander.spoil = spoil_nan
    elif way == "stop":
        assert call("safety_node/stop", Trigger).success
    else:
        assert call("safety_node/estop", SetBool, data=True).success
    stand.reports("stopped")
    assert stand.status[-1].level == DiagnosticStatus.ERROR
    stand.rests()
    stand.commander.spoil = lambda points: points
    if way == "estop":
        refused = call("safety_node/reset", Trigger)
        assert not refused.success and "release" in refused.message
        call("safety_node/estop", SetBool, data=False)
    stand.rests()
    assert call("safety_node/reset", Trigger).success
    stand.moves()


@pytest.mark.parametrize("way", ["crash", "estop"])
def test_a_stop_survives_the_process_and_a_crash_is_a_stop(stage: Bench, way: str) -> None:
    stand = Stand(stage, inside=False)
    process = stage.start("safety_node", **stand.parameters)
    stand.moves()
    call: Any = stage.ears.call
    if way == "estop":
        assert call("safety_node/estop", SetBool, data=True).success
    os.kill(process.pid, signal.SIGKILL)
    process.wait(LONG)
    stand.rests()
    stand.status.clear()
    stage.start("safety_node", **stand.parameters)
    stand.reports("stopped: e-stop" if way == "estop" else f"stopped: {CRASHED}")
    stand.rests()
    if way == "estop":
        assert not call("safety_node/reset", Trigger).success
        call("safety_node/estop", SetBool, data=False)
    assert call("safety_node/reset", Trigger).success
    stand.moves()


def test_after_a_clean_end_it_starts_without_a_stop_and_a_parameter_allows_it_after_a_crash(stage: Bench) -> None:
    stand = Stand(stage, inside=False)
    for number, options in ((signal.SIGTERM, {}), (signal.SIGKILL, {"stopped_after_crash": False})):
        process = stage.start("safety_node", **stand.parameters)
        stand.moves()
        os.kill(process.pid, number)
        process.wait(LONG)
        stand.rests()
        other = stage.start("safety_node", **stand.parameters, **options)
        stand.moves()
        os.kill(other.pid, signal.SIGTERM)
        other.wait(LONG)


def test_a_stop_file_is_whole_or_a_stop(tmp_path: Path) -> None:
    file = StopFile(tmp_path / "folder" / "stop.json")
    assert file.begin(True) == ("", False)
    assert StopFile(tmp_path / "folder" / "stop.json").begin(True) == (CRASHED, False), "it runs still, or was killed"
    assert file.begin(False) == (CRASHED, False), "a stop stays until it is reset"
    file.write("stopped: e-stop", True)
    assert file.begin(True) == ("e-stop", True)
    file.end("", False)
    assert file.begin(True) == ("", False)
    (tmp_path / "folder" / "stop.json").write_text("{")
    stopped, _ = file.begin(True)
    assert "cannot be read" in stopped
    (tmp_path / "plain").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        StopFile(tmp_path / "plain" / "stop.json").write("", False)


def test_another_publisher_on_the_controllers_topic_is_held_and_named(stage: Bench) -> None:
    stand = Stand(stage)
    stand.moves()
    other = stage.ears.create_publisher(JointTrajectory, ARM, bridge.COMMAND)
    stand.reports(f"two publishers on {ARM}: /ears, /safety_node")
    stand.rests()
    stage.forget(other)
    stand.moves()


def test_two_safety_nodes_of_different_names_hold_both(stage: Bench) -> None:
    stand = Stand(stage)
    stand.moves()
    stage.start("safety_node", "__node:=other_safety_node", **stand.parameters)
    stand.reports(f"two publishers on {ARM}: /other_safety_node, /safety_node")
    stand.rests()


def test_it_passes_only_while_a_controller_listens(stage: Bench) -> None:
    node = stage.node(SafetyNode, command_timeout=PATIENT, state_timeout=PATIENT)
    status = stage.ears.listen("safety_node/status", DiagnosticStatus, bridge.LATCHED)
    until(lambda: status and "nobody listens on" in status[-1].message, "it reports that nobody listens")
    assert node._monitor.reason.startswith("nobody listens on arm_controller")


def test_a_controller_that_ignores_everything_is_found_out(stage: Bench) -> None:
    stand = Stand(stage, speed=1.0)
    stand.moves()
    stuck = stand.robot.action.copy()
    for controller in stand.robot.controllers.values():
        setpoint = controller.at(stand.robot._now())
        controller.command = lambda *_: None
        controller.at = lambda now, setpoint=setpoint: setpoint
    stand.commander.robot = type("Moving", (), {"action": stuck, "get_clock": stand.robot.get_clock})()
    stand.commander.spoil = lambda points: points + 0.9 * np.eye(8)[0]
    stand.reports("does not follow")
    assert stand.status[-1].level == DiagnosticStatus.ERROR


def test_one_joint_from_two_publishers_is_held_and_disjoint_joints_are_not(stage: Bench) -> None:
    stand = Stand(stage)
    stand.moves()
    other = stage.ears.create_publisher(JointState, "joint_states", bridge.SENSOR_OUT)
    joint, value = ["elsewhere_joint"], [0.94]

    def publish() -> None:
        message = JointState(name=joint, position=value)
        message.header.stamp = stand.robot.get_clock().now().to_msg()
        other.publish(message)

    timer = stage.ears.create_timer(0.02, publish)
    stand.moves()
    joint[0], value[0] = "panda_joint2", 0.94
    stand.reports("contradictory joint states: panda_joint2 on joint_states is ")
    stand.rests()
    stage.forget(timer, other)
    stand.moves()


def test_a_chunk_that_is_not_understood_is_held_not_stopped(stage: Bench) -> None:
    stand = Stand(stage)
    stand.moves()
    stand.commander.pause()
    points = np.tile(stand.robot.action, (16, 1))
    names = stand.commander.names
    for message, reported in (
        (bridge.trajectory(names, 0, TIMES, points), "without a stamp"),
        (bridge.trajectory(names[:-1], 1, TIMES, points[:, :-1]), "policy and safety node need the same contract"),
    ):
        stand.commander.out.publish(message)
        stand.reports(reported)
        stand.rests()
    stand.commander.on = True
    stand.moves()
    assert not any("stopped" in m.message for m in stand.status)


def test_a_contract_that_is_none_ends_it_with_one_line(stage: Bench) -> None:
    process = stage.start("safety_node", contract="tabletopp")
    output, _ = process.communicate(timeout=LONG)
    assert process.returncode == 2 and "did you mean 'tabletop'" in output and "Traceback" not in output
