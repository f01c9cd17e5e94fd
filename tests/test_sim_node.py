"""The simulated robot over real DDS."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from policy.robot.contract import load
from policy.robot.decode import value_decoder
from policy.robot.streams import Streams
from tests.ros_tiny import LONG, Bench, bench, until  # skips the file where there is no ROS
from tests.tiny import write_model

# isort: split
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from ros_nodes import bridge
from ros_nodes.policy_node import PolicyNode
from ros_nodes.safety_node import SafetyNode
from ros_nodes.sim_node import SimNode

DT = 10**9 // 20
ARM = "arm_controller/joint_trajectory"


@pytest.fixture
def stage() -> Iterator[Bench]:
    with bench() as made:
        yield made


def test_it_publishes_what_the_contract_names_and_follows_trajectories(stage: Bench) -> None:
    contract = load("tabletop")
    clock = stage.ears.listen("/clock", Clock, 50)
    received = {
        t: stage.ears.listen(t, kind, 100)
        for t, kind in (
            ("joint_states", JointState),
            ("camera/front/image_raw", Image),
            ("camera/wrist/image_raw", Image),
        )
    }
    node = stage.executor.create_task(SimNode, context=stage.context)  # it renders in the thread that made it
    stage.executor.wake()
    until(node.done, "the robot is made")
    robot = stage.add(node.result())
    until(lambda: len(received["camera/wrist/image_raw"]) > 4 and len(received["joint_states"]) > 30, "it publishes")
    times = [bridge.nanoseconds(m.clock) for m in clock]
    assert np.diff(times).min() == DT and not (np.diff(times) % DT).any()
    stamps = [bridge.nanoseconds(m.header.stamp) for m in received["joint_states"]]
    assert np.diff(stamps).min() == DT // 5 and not (np.diff(stamps) % (DT // 5)).any()
    streams, frames = Streams(contract), []
    for topic, message in sorted(
        ((t, m) for t, ms in received.items() for m in list(ms)),
        key=lambda pair: bridge.nanoseconds(pair[1].header.stamp),
    ):
        streams.push(topic, message, 0)
        while (frame := streams.frame()) is not None:
            frames.append(frame)
    assert frames and frames[0].images["front"].std() > 5, "a picture of something"

    goal = np.array(robot.controllers[ARM].at(robot.now))
    goal[0] += 0.2
    point = bridge.trajectory(robot.controllers[ARM].joints, 0, np.array([4 * DT]), goal[None])
    sent = stage.publish(ARM, JointTrajectory, point, bridge.COMMAND)
    until(lambda: abs(robot.world.state()[0] - goal[0]) < 0.02, "the arm has reached it")
    sent.publish(JointTrajectory(joint_names=["panda_joint1"]))
    until(lambda: robot.rejected == 1, "an empty one is rejected")

    before = robot.now
    assert stage.ears.call("sim_node/reset", Trigger).success
    assert robot.now < before and abs(robot.controllers[ARM].at(robot.now)[0] - goal[0]) > 0.05


def test_a_robot_that_is_commanded_by_poses_goes_where_the_safety_node_lets_it(stage: Bench) -> None:
    """The table's Franka by poses of its hand: measured, asked for and commanded as contract tabletop_ee has them."""
    contract = load("tabletop_ee")
    poses = stage.ears.listen("hand/pose", PoseStamped, 50)
    commands = stage.ears.listen("hand_controller/target_pose", PoseStamped, 50)
    node = stage.executor.create_task(
        SimNode, context=stage.context, parameter_overrides=[Parameter("world", value="tabletop_ee")]
    )
    stage.executor.wake()
    until(node.done, "the robot is made")
    robot = stage.add(node.result())
    guard = stage.node(SafetyNode, contract="tabletop_ee", use_sim_time=True, command_timeout=9.0, state_timeout=9.0)
    out = stage.ears.create_publisher(JointTrajectory, bridge.ACTION_CHUNK, bridge.COMMAND)
    goal = robot.world.state() + np.array([0.05, 0.0, 0.0, 0.0, 0.0, 0.1, 0.0], np.float32)
    points = np.tile(goal, (16, 1)).astype(float)

    def ask() -> None:
        out.publish(bridge.trajectory(contract.spec.action, robot.now, DT * np.arange(1, 17), points))

    stage.ears.create_timer(0.05, ask)
    until(lambda: np.abs(robot.world.state() - goal)[:6].max() < 0.01, "the hand is there", 4 * LONG)
    assert guard._monitor.reason == "" and robot.rejected == 0
    reached = value_decoder(contract.state[0])(poses[-1])
    np.testing.assert_allclose(reached, robot.world.state()[:6], atol=0.02)
    assert commands[-1].header.frame_id == "panda_link0"


def test_a_policy_moves_the_hand_by_poses(stage: Bench, tmp_path: Path) -> None:
    """Simulated robot, policy node and safety node under contract tabletop_ee: from pictures to poses and back."""
    write_model(tmp_path / "model", robot="tabletop_ee")  # along x
    status = stage.ears.listen("policy_node/status", DiagnosticStatus, bridge.LATCHED)
    node = stage.executor.create_task(
        SimNode, context=stage.context, parameter_overrides=[Parameter("world", value="tabletop_ee")]
    )
    stage.executor.wake()
    until(node.done, "the robot is made")
    robot = stage.add(node.result())
    patient = {"use_sim_time": True, "command_timeout": 9.0, "state_timeout": 9.0}
    guard = stage.node(SafetyNode, contract="tabletop_ee", **patient)
    stage.node(PolicyNode, model=str(tmp_path / "model"), autostart=True, use_sim_time=True, sensor_timeout=9.0)
    until(lambda: status and any(v.key == "serves" for v in status[-1].values), "the policy node is active", 4 * LONG)
    begin = robot.world.state()
    stage.publish("instruction", String, String(data="open the drawer"), bridge.LATCHED)
    until(lambda: robot.world.state()[0] > begin[0] + 0.05, "the hand moves along x", 4 * LONG)
    assert not guard._monitor.reason and np.abs(robot.world.state() - begin)[1:6].max() < 0.05


def in_a_world(stage: Bench, world: str, **parameters: object) -> SimNode:
    values = [Parameter(name, value=value) for name, value in {"world": world, **parameters}.items()]
    node = stage.executor.create_task(SimNode, context=stage.context, parameter_overrides=values)
    stage.executor.wake()
    until(node.done, "the robot is made")
    return stage.add(node.result())


def test_a_scene_of_meta_world_is_a_robot(stage: Bench) -> None:
    hands = stage.ears.listen("joint_states", JointState, 100)
    robot = in_a_world(stage, "metaworld", task="reach")
    until(lambda: len(hands) > 10, "it publishes")
    assert hands[0].name == ["hand_x", "hand_y", "hand_z", "gripper"] and robot.world.scene_name == "reach"
    begun = robot.world.state()
    goal = begun[:3].astype(float) + np.array([0.05, 0.0, 0.0])
    point = bridge.trajectory(["hand_x", "hand_y", "hand_z"], 0, np.array([4 * DT]), goal[None])
    stage.publish("hand_controller/joint_trajectory", JointTrajectory, point, bridge.COMMAND)
    until(lambda: abs(robot.world.state()[0] - goal[0]) < 0.01, "the hand is there")


def test_an_environment_of_gymnasium_is_a_robot_that_takes_and_tells_arrays(stage: Bench) -> None:
    observed = stage.ears.listen("environment/observation", Float64MultiArray, 100)
    robot = in_a_world(stage, "gym-states:FetchPush-v4")
    until(lambda: len(observed) > 5, "it publishes")
    assert len(observed[0].data) == 31
    begun = robot.world.observed["observation"][2]
    stage.publish("environment/action", Float64MultiArray, Float64MultiArray(data=[0.0, 0.0, 0.5, 0.0]), bridge.COMMAND)
    until(lambda: robot.world.observed["observation"][2] > begun + 0.05, "the hand rises")
