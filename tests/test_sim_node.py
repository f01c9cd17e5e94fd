"""The simulated robot over real DDS, and the semantics of its controllers."""

from collections.abc import Iterator

import numpy as np
import pytest

# isort: split  (ros_tiny skips this file where there is no ROS)
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from policy.robot.contract import load
from policy.robot.streams import Streams
from policy.robot.trajectory_controller import TrajectoryController
from ros_nodes import bridge
from ros_nodes.sim_node import SimNode
from tests.ros_tiny import Bench, bench, until

S = 10**9
DT = S // 20
ARM = "arm_controller/joint_trajectory"


@pytest.fixture
def controller() -> TrajectoryController:
    return TrajectoryController(("a", "b"), np.array([0.0, 1.0]), S)


def go(
    controller: TrajectoryController,
    times: list[int],
    points: list[list[float]],
    now: int = S,
    speeds: list[list[float]] | None = None,
    names: tuple[str, ...] = ("a", "b"),
    stamp: int = 0,
) -> str | None:
    return controller.command(
        list(names),
        np.array(times),
        np.array(points, float),
        None if speeds is None else np.array(speeds, float),
        stamp,
        now,
    )


def test_positions_alone_are_joined_by_lines_and_the_last_is_held(controller: TrajectoryController) -> None:
    assert go(controller, [DT, 2 * DT], [[1, 1], [1, 2]]) is None
    np.testing.assert_allclose(controller.at(S + DT // 2), [0.5, 1])
    np.testing.assert_allclose(controller.at(S + DT + DT // 2), [1, 1.5])
    np.testing.assert_allclose(controller.at(9 * S), [1, 2])


def test_velocities_are_met(controller: TrajectoryController) -> None:
    assert go(controller, [DT, 2 * DT], [[1, 1], [2, 1]], speeds=[[20, 0], [0, 0]]) is None
    step = 1000
    slope = (controller.at(S + DT + step) - controller.at(S + DT - step)) / (2 * step) * S
    np.testing.assert_allclose(slope, [20, 0], atol=0.1)


def test_the_newest_replaces_the_old_one_whole_from_where_it_is(controller: TrajectoryController) -> None:
    go(controller, [DT, 2 * DT, 3 * DT], [[1, 1], [2, 1], [3, 1]])
    go(controller, [DT], [[0, 1]], now=S + DT)
    np.testing.assert_allclose(controller.at(S + DT), [1, 1])
    np.testing.assert_allclose(controller.at(S + 2 * DT), [0, 1])
    np.testing.assert_allclose(controller.at(9 * S), [0, 1])


def test_joints_may_come_in_another_order(controller: TrajectoryController) -> None:
    assert go(controller, [DT], [[5, 6]], names=("b", "a")) is None
    np.testing.assert_allclose(controller.at(9 * S), [6, 5])


@pytest.mark.parametrize(
    ("why", "change"),
    [
        ("empty", {"times": [], "points": np.empty((0, 2))}),
        ("joints", {"names": ("a", "c")}),
        ("joints", {"names": ("a",), "points": [[1], [2]]}),
        ("rise", {"times": [DT, DT]}),
        ("rise", {"times": [2 * DT, DT]}),
        ("last velocity", {"speeds": [[0, 0], [0, 1]]}),
        ("passed", {"stamp": S // 2}),
        ("finite", {"points": [[1, 1], [1, np.nan]]}),
        ("velocities", {"speeds": [[0], [0]]}),
    ],
)
def test_what_a_controller_rejects(controller: TrajectoryController, why: str, change: dict) -> None:
    given = {"times": [DT, 2 * DT], "points": [[1, 1], [2, 2]]} | change
    assert why in go(controller, **given)
    np.testing.assert_allclose(controller.at(9 * S), [0, 1])


@pytest.fixture
def stage() -> Iterator[Bench]:
    with bench() as made:
        yield made


def test_it_speaks_as_the_contract_says_and_does_what_it_is_told(stage: Bench) -> None:
    contract = load("tabletop")
    clock = stage.ears.listen("/clock", Clock, 50)
    heard = {
        t: stage.ears.listen(t, kind, 100)
        for t, kind in (
            ("joint_states", JointState),
            ("camera/front/image_raw", Image),
            ("camera/wrist/image_raw", Image),
        )
    }
    node = stage.executor.create_task(SimNode, context=stage.context)  # it renders in the thread that made it
    stage.executor.wake()
    until(node.done, "the robot is there")
    robot = stage.add(node.result())
    until(lambda: len(heard["camera/wrist/image_raw"]) > 4 and len(heard["joint_states"]) > 30, "it speaks")
    times = [bridge.nanoseconds(m.clock) for m in clock]
    assert np.diff(times).min() == DT and not (np.diff(times) % DT).any()
    stamps = [bridge.nanoseconds(m.header.stamp) for m in heard["joint_states"]]
    assert np.diff(stamps).min() == DT // 5 and not (np.diff(stamps) % (DT // 5)).any()
    streams, frames = Streams(contract), []
    for topic, message in sorted(
        ((t, m) for t, ms in heard.items() for m in list(ms)), key=lambda pair: bridge.nanoseconds(pair[1].header.stamp)
    ):
        streams.push(topic, message, 0)
        while (frame := streams.frame()) is not None:
            frames.append(frame)
    assert frames and frames[0].images["front"].std() > 5, "a picture of something"

    goal = np.array(robot.controllers[ARM].at(robot.now))
    goal[0] += 0.2
    point = bridge.trajectories(contract, np.array([4 * DT]), np.append(goal, 0.04)[None])[ARM]
    point.points[0].velocities = []
    sent = stage.publish(ARM, JointTrajectory, point, bridge.COMMAND)
    until(lambda: abs(robot.world.state()[0] - goal[0]) < 0.02, "the arm is there")
    sent.publish(JointTrajectory(joint_names=["panda_joint1"]))
    until(lambda: robot._rejected == 1, "an empty one is rejected")

    before = robot.now
    assert stage.ears.call("sim_node/reset", Trigger).success
    assert robot.now < before and abs(robot.controllers[ARM].at(robot.now)[0] - goal[0]) > 0.05
