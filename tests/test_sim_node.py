"""The simulated robot over real DDS."""

from collections.abc import Iterator

import numpy as np
import pytest

from policy.robot.contract import load
from policy.robot.streams import Streams
from tests.ros_tiny import Bench, bench, until  # skips the file where there is no ROS

# isort: split
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from ros_nodes import bridge
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
