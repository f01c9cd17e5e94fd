"""The safety node commands each kind of controller over real DDS; what a driver receives keeps the limits."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import faults
from tests.ros_tiny import Bench, bench, until  # skips the file where there is no ROS

# isort: split
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from rclpy.action import ActionServer, GoalResponse
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from policy.robot.contract import Contract, load
from policy.robot.decode import value_decoder
from policy.robot.trajectory_controller import TrajectoryController
from ros_nodes import bridge
from ros_nodes.bridge import ACTION_CHUNK
from ros_nodes.executor_thread import in_executor
from ros_nodes.outputs import pose_message
from ros_nodes.safety_node import SafetyNode
from tests.test_contract import FINGER, POSE, SPEEDS, TWIST, kinds

PATIENT = 1.0  # s: other work may have the machine
DT = 50_000_000
TIMES = DT * np.arange(1, 17)
HOME = np.array([0.0, 0.0, 0.02, 0.45, 0.0, 0.3, 0.0, 0.0, 0.0])  # j1, j2, finger, hand
FEEL = 0.01  # s
POSITIONS = {k: v for k, v in SPEEDS.items() if k not in ("names", "interface")}
FOLLOW = POSITIONS | {
    "topic": "arm_controller/follow_joint_trajectory",
    "type": "control_msgs/action/FollowJointTrajectory",
    "demonstration": {"topic": "leader", "joints": ["j1", "j2"]},
}


class Driver(Node):
    """A robot of two joints, a finger and a hand, which obeys whatever controller a contract names, and measures."""

    def __init__(self, stage: Bench, contract: Contract) -> None:
        super().__init__("driver", context=stage.context)
        self.contract, self.state = contract, HOME.copy()
        self.heard: list[Any] = []  # messages and goals
        self.accepts = self.obeys = True
        self._velocity, self._felt = np.zeros(9), self.get_clock().now().nanoseconds
        self._curve: TrajectoryController | None = None
        self._joints = self.create_publisher(JointState, "joint_states", bridge.SENSOR_OUT)
        self._hand = self.create_publisher(PoseStamped, "hand", bridge.SENSOR_OUT)
        for controller in contract.controllers:
            kind, topic = bridge.message_class(controller.command.type), controller.topic
            if "/action/" in controller.command.type:
                self._action = kind, topic
                self.serve()
            else:
                self.create_subscription(kind, topic, lambda m, c=controller: self._obey(c, m), bridge.COMMAND)
        self.create_timer(FEEL, self._feel)

    def serve(self) -> None:
        """Take goals."""
        accept = lambda _: GoalResponse.ACCEPT if self.accepts else GoalResponse.REJECT  # noqa: E731
        self.server = ActionServer(self, *self._action, self._execute, goal_callback=accept)

    def _obey(self, controller: Any, message: Any) -> None:
        self.heard.append(message)
        kind = controller.command.kind
        if not self.obeys:
            return
        if kind == "pose":
            self.state[3:] = value_decoder(controller.command.source)(message)
        elif kind == "twist":
            self._velocity[3:6] = [getattr(message.twist.linear, c) for c in "xyz"]
        elif kind == "velocity":
            self._velocity[:2] = message.data
        else:
            self.state[:2] = message.data

    def _execute(self, handle: Any) -> Any:
        request = handle.request
        self.heard.append(request)
        if hasattr(request, "command"):
            self.state[2] = request.command.position
            handle.succeed()
            return bridge.message_class("control_msgs/action/GripperCommand").Result()
        now = self.get_clock().now().nanoseconds
        self._curve = self._curve or TrajectoryController(("j1", "j2"), self.state[:2], now)
        times, points, speeds = bridge.points(request.trajectory)
        stamp = bridge.nanoseconds(request.trajectory.header.stamp)
        rejected = self._curve.command(list(request.trajectory.joint_names), times, points, speeds, stamp, now)
        assert not rejected, rejected
        handle.succeed()
        return bridge.message_class("control_msgs/action/FollowJointTrajectory").Result()

    def _feel(self) -> None:
        now = self.get_clock().now().nanoseconds
        self.state += self._velocity * (now - self._felt) * 1e-9
        self._felt = now
        if self._curve is not None:
            self.state[:2] = self._curve.at(now)
        zero = np.zeros(3)
        self._joints.publish(bridge.joint_state(["j1", "j2", "finger"], now, self.state[:3], zero, zero))
        self._hand.publish(pose_message(self.state[3:], (1.0, 0.0, 0.0, 0.0), "base", now))


class Stand:
    """Driver, safety node and a policy that asks for `ask(state)` (16, A) at 20 Hz."""

    def __init__(self, stage: Bench, path: Path, ask: Callable[[np.ndarray], np.ndarray]) -> None:
        self.stage, self.contract, self.ask = stage, load(path), ask
        self.driver = stage.add(Driver(stage, self.contract))
        self.status = stage.ears.listen("safety_node/status", DiagnosticStatus, bridge.LATCHED)
        parameters = {"command_timeout": PATIENT, "state_timeout": PATIENT, "start_within": 9.0}
        self.node = stage.node(SafetyNode, contract=str(path), **parameters)
        self._out = stage.ears.create_publisher(JointTrajectory, ACTION_CHUNK, bridge.COMMAND)
        self.on = True
        stage.ears.create_timer(0.05, self._drive)

    def _drive(self) -> None:
        if self.on:
            now = self.driver.get_clock().now().nanoseconds
            asked = self.ask(self.driver.state)
            self._out.publish(bridge.trajectory(list(self.contract.spec.action), now, TIMES, asked))

    def reports(self, text: str) -> None:
        until(lambda: self.status and text in self.status[-1].message, f"the safety node reports {text!r}")

    def stop(self) -> None:
        assert self.stage.ears.call("safety_node/stop", Trigger).success

    def rests(self) -> None:
        """What is held is not repeated: another may command."""

        def quiet() -> bool:
            count = len(self.driver.heard)
            time.sleep(0.3)
            return len(self.driver.heard) == count

        until(quiet, "no set-point is published")

    def received(self, read: Callable[[Any], Any]) -> tuple[np.ndarray, np.ndarray]:
        """Times (N,) s by the header and values (N, J) of what the driver has heard."""
        heard = list(self.driver.heard)
        times = np.array([bridge.nanoseconds(m.header.stamp) * 1e-9 for m in heard])
        return times, np.array([read(m) for m in heard])


@pytest.fixture
def stage() -> Iterator[Bench]:
    with bench() as made:
        yield made


@pytest.fixture
def says(request: pytest.FixtureRequest) -> str:
    """What the test's docstring says that the safety node says."""
    return faults.parts(request.function.__doc__)["Says"].partition(": ")[2]


def towards(places: slice, speed: float) -> Callable[[np.ndarray], np.ndarray]:
    """Ahead of the measured positions by their speed, along the first axis."""

    def ask(state: np.ndarray) -> np.ndarray:
        points = np.tile(state[places], (16, 1))
        points[:, 0] += speed * (TIMES * 1e-9 + 0.05)
        return points

    return ask


def test_poses(stage: Bench, tmp_path: Path) -> None:
    """Far too fast and beyond the box: within its speeds to the box's side, pointing down; a stop keeps it there."""
    stand = Stand(stage, kinds(tmp_path, POSE), towards(slice(3, 9), 5.0))
    until(lambda: stand.driver.state[3] > 0.55, "the hand moves")
    stand.stop()
    stand.rests()
    assert stand.driver.state[3] < 0.69, "the stop came before the side of the box"
    assert stage.ears.call("safety_node/reset", Trigger).success
    until(lambda: stand.driver.state[3] > 0.7 - 1e-6, "the hand is at the side of its box")
    assert {m.header.frame_id for m in stand.driver.heard} == {"base"}
    times, poses = stand.received(value_decoder(stand.contract.action[0].source))
    assert poses[:, 0].max() <= 0.7 + 1e-6 and np.abs(poses[:, 1:] - HOME[4:]).max() < 1e-6
    assert (np.diff(poses[:, 0]) <= 0.5 * np.diff(times) + 1e-6).all()
    assert stand.driver.heard[-1].pose.orientation.x == pytest.approx(1), "half a turn about x"
    assert "position limit of x" in stand.node._monitor.limited


@pytest.mark.parametrize("group", [SPEEDS, TWIST])
def test_velocities(stage: Bench, tmp_path: Path, group: dict[str, Any]) -> None:
    """They stop short of the position limit, and silence makes them zero again and again."""
    stand = Stand(stage, kinds(tmp_path, group), lambda _: np.tile(np.eye(len(group["names"]))[0] * 9, (16, 1)))
    place, limit = (0, 1.0) if group is SPEEDS else (3, 0.7)
    until(lambda: stand.driver.state[place] > limit - 0.05, "it moves to its limit")

    def speeds() -> np.ndarray:
        read = (lambda m: m.data[0]) if group is SPEEDS else (lambda m: m.twist.linear.x)
        return np.array([read(m) for m in list(stand.driver.heard)])

    assert 0.3 < speeds().max() <= 0.5 + 1e-9
    stand.on = False
    stand.reports("commands are silent")
    until(lambda: (speeds()[-20:] == 0).all(), "zero is repeated")
    count = len(stand.driver.heard)
    until(lambda: len(stand.driver.heard) > count + 20, "and again")
    assert (speeds()[-20:] == 0).all() and stand.driver.state[place] < limit
    if group is TWIST:
        assert stand.driver.heard[0].header.frame_id == "base"


def test_an_array_of_positions(stage: Bench, tmp_path: Path) -> None:
    stand = Stand(stage, kinds(tmp_path, POSITIONS), towards(slice(0, 2), 5.0))
    until(lambda: stand.driver.state[0] > 0.9, "the joint moves")
    until(lambda: stand.driver.state[0] > 1 - 1e-3, "to its limit")
    moved = np.array([m.data[0] for m in stand.driver.heard])
    assert moved.max() <= 1 + 1e-6 and np.diff(moved).max() < 0.5 * 0.2
    stand.stop()
    stand.rests()


def test_trajectories_as_goals(stage: Bench, tmp_path: Path) -> None:
    stand = Stand(stage, kinds(tmp_path, FOLLOW), towards(slice(0, 2), 0.3))
    until(lambda: stand.driver.state[0] > 0.3, "the joint moves")
    for goal in stand.driver.heard:
        times, _, speeds = bridge.points(goal.trajectory)
        assert list(goal.trajectory.joint_names) == ["j1", "j2"] and times[-1] <= 250_000_000 + DT
        assert speeds is not None and (speeds[-1] == 0).all()
    stand.stop()
    stand.reports("stopped: on request")
    time.sleep(0.4)
    held = stand.driver.state[0]
    time.sleep(0.3)
    assert stand.driver.state[0] == pytest.approx(held, abs=1e-4)
    assert stage.ears.call("safety_node/reset", Trigger).success
    until(lambda: stand.driver.state[0] > held + 0.1, "it goes on")


def test_a_refused_goal(stage: Bench, tmp_path: Path, says: str) -> None:
    """A controller refuses a goal of `FollowJointTrajectory`.

    Then: the arm is held.
    Says: safety_node: arm_controller/follow_joint_trajectory refused a goal
    After: another goal is tried a second later.
    """
    stand = Stand(stage, kinds(tmp_path, FOLLOW), towards(slice(0, 2), 0.3))
    until(lambda: stand.driver.state[0] > 0.1, "the joint moves")
    stand.driver.accepts = False
    stand.reports(says)
    stand.driver.accepts = True
    stand.reports("passing")
    held = stand.driver.state[0]
    until(lambda: stand.driver.state[0] > held + 0.05, "it goes on by itself")


def test_velocities_without_commands(stage: Bench, tmp_path: Path, says: str) -> None:
    """Commands fall silent while the robot moves by velocities.

    Then: its velocity is zero, again and again.
    Says: safety_node: commands are silent
    After: it goes on with the next command, slowly.
    """
    stand = Stand(stage, kinds(tmp_path, SPEEDS), lambda _: np.full((16, 2), 0.05))
    until(lambda: stand.driver.state[0] > 0.02, "it moves")
    stand.on = False
    stand.reports(says)
    until(lambda: all(m.data[0] == 0 for m in stand.driver.heard[-10:]), "zero is repeated")
    stand.on, held = True, stand.driver.state[0]
    until(lambda: stand.driver.state[0] > held + 0.02, "it goes on")


def test_velocities_that_are_not_obeyed(stage: Bench, tmp_path: Path, says: str) -> None:
    """The robot does not move by the velocities that it is given.

    Then: it is stopped: a velocity of zero, until reset.
    Says: safety_node: stopped: j1_speed does not follow: it has moved -
    After: look at the controller, then call `~/reset`.
    """
    stand = Stand(stage, kinds(tmp_path, SPEEDS), lambda _: np.full((16, 2), 0.4))
    stand.driver.obeys = False
    stand.reports(says)
    until(lambda: all(m.data[0] == 0 for m in stand.driver.heard[-10:]), "zero is repeated")


def test_a_gripper_by_its_command(stage: Bench, tmp_path: Path) -> None:
    wanted = [0.02]
    group = FINGER | {"max_effort": 12.0, "scale": 0.5}
    stand = Stand(stage, kinds(tmp_path, group), lambda _: np.full((16, 1), wanted[0]))
    stand.driver.state[2] = 0.02
    until(lambda: len(stand.driver.heard) == 1, "a first goal")
    wanted[0] = 0.07
    until(lambda: stand.driver.heard[-1].command.position == pytest.approx(0.035, abs=4e-4), "the finger opens")
    goals = [goal.command for goal in stand.driver.heard]
    assert len(goals) < 8 and all(goal.max_effort == 12.0 for goal in goals)
    wanted[0] = 0.0701
    time.sleep(0.3)
    assert len(stand.driver.heard) == len(goals), "a change that is none makes no goal"
    stand.driver.accepts, wanted[0] = False, 0.0688  # a single goal's worth
    stand.reports("gripper_cmd refused a goal")
    stand.driver.accepts = True
    until(lambda: stand.driver.heard[-1].command.position < 0.0348, "it is asked for again")


def test_no_action_server(stage: Bench, tmp_path: Path, says: str) -> None:
    """The action server of a controller is gone.

    Then: the arm is held.
    Says: safety_node: no action server on gripper_controller/gripper_cmd
    After: it goes on when there is one again.
    """
    stand = Stand(stage, kinds(tmp_path, FINGER), lambda state: np.full((16, 1), state[2]))
    until(lambda: stand.driver.heard, "a first goal")
    in_executor(stand.driver, stand.driver.server.destroy)
    stand.reports(says)
    count = len(stand.driver.heard)
    in_executor(stand.driver, stand.driver.serve)
    until(lambda: len(stand.driver.heard) > count, "the new server is told the same opening")


def test_another_publisher_of_poses(stage: Bench, tmp_path: Path, says: str) -> None:
    """Another node publishes poses for the hand.

    Then: the hand brakes, and its pose is kept where it is measured.
    Says: safety_node: two publishers on target_pose
    After: it goes on when the other has gone.
    """
    stand = Stand(stage, kinds(tmp_path, POSE), towards(slice(3, 9), 0.1))
    until(lambda: stand.driver.state[3] > 0.47, "the hand moves")
    other = stage.ears.create_publisher(PoseStamped, "target_pose", bridge.COMMAND)
    stand.reports(says)
    stage.forget(other)
    stand.reports("passing")
