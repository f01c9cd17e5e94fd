"""Two simulated arms over real DDS: one instruction moves both, and a demonstration sent as chunks lifts the bar."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

# isort: split  (ros_tiny skips this file where there is no ROS)
from tests.ros_tiny import LONG, Bench, bench, until
from tests.tiny import write_model

# isort: split
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.parameter import Parameter
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from policy.robot.contract import load
from ros_nodes import bridge
from ros_nodes.policy_node import PolicyNode
from ros_nodes.safety_node import SafetyNode
from ros_nodes.sim_node import SimNode
from sim.worlds.interface import STEP_NS
from sim.worlds.two_arms.lift import TASKS
from sim.worlds.two_arms.scene import SIDES
from sim.worlds.two_arms.world import TwoArms

FIRST = [0, 7]  # the waist of each arm
PATIENT = {"use_sim_time": True, "command_timeout": 9.0, "state_timeout": 9.0}


@pytest.fixture
def stage() -> Iterator[Bench]:
    with bench() as made:
        yield made


def simulated(stage: Bench, seed: int) -> SimNode:
    """The robot, made by the thread that will render."""
    node = stage.executor.create_task(
        SimNode,
        context=stage.context,
        parameter_overrides=[Parameter("world", value="two_arms"), Parameter("seed", value=seed)],
    )
    stage.executor.wake()
    until(node.done, "the robot is made")
    robot: SimNode = stage.add(node.result())
    return robot


def test_an_instruction_moves_both_arms(stage: Bench, tmp_path: Path) -> None:
    write_model(tmp_path / "model", robot="two_arms", moved=(0, 7))
    status = stage.ears.listen("policy_node/status", DiagnosticStatus, bridge.LATCHED)
    robot = simulated(stage, 0)
    guard = stage.node(SafetyNode, contract="two_arms", **PATIENT)
    stage.node(PolicyNode, model=str(tmp_path / "model"), autostart=True, use_sim_time=True, sensor_timeout=9.0)
    until(lambda: status and any(v.key == "serves" for v in status[-1].values), "the policy node is active", 4 * LONG)
    begin = robot.world.state()
    stage.publish("instruction", String, String(data="open the drawer"), bridge.LATCHED)
    until(lambda: (robot.world.state() - begin)[FIRST].min() > 0.1, "both arms move", 4 * LONG)
    assert not guard._monitor.reason and robot.rejected == 0
    assert np.abs(np.delete(robot.world.state() - begin, FIRST)).max() < 0.05


def test_chunks_of_a_demonstration_lift_the_bar(stage: Bench) -> None:
    task, rehearsal = TASKS["lift_bar"], TwoArms()
    rehearsal.reset(np.random.default_rng(1_500_000))
    actions = []
    for action in task.expert(rehearsal):
        rehearsal.step(action)
        actions.append(action)
    robot = simulated(stage, 1_500_000)
    guard = stage.node(SafetyNode, contract="two_arms", **PATIENT)
    out = stage.ears.create_publisher(JointTrajectory, bridge.ACTION_CHUNK, bridge.COMMAND)
    until(out.get_subscription_count, "the safety node listens")
    begin = robot.now + 10 * STEP_NS
    times = STEP_NS * np.arange(1, len(actions) + 1)
    names = load("two_arms").spec.action

    def ask() -> None:
        """What is left of the demonstration, its last set-point held."""
        done = max(0, (robot.now - begin) // STEP_NS)
        left = np.array([*actions[done:], *[actions[-1]] * 16])[:16]
        out.publish(bridge.trajectory(names, max(begin, robot.now), times[:16], left.astype(float)))

    stage.ears.create_timer(0.02, ask)
    until(lambda: task.success(robot.world), "the bar is up", 4 * LONG)
    assert all(robot.world.holds(side, "bar") for side in SIDES) and robot.rejected == 0
    assert not guard._monitor.reason
