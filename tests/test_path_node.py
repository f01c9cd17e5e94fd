"""The planned path of the hand as markers, over real DDS."""

import numpy as np
import pytest

from policy.errors import InputError
from policy.robot.contract import load
from sim.worlds.tabletop.world import Tabletop
from tests.ros_tiny import bench, until  # skips the file where there is no ROS

# isort: split
from rcl_interfaces.msg import Log
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import Marker, MarkerArray

from ros_nodes import bridge
from ros_nodes.path_node import PathNode, hand_points

CONTRACT = load("tabletop")


def test_poses_are_the_path_and_joints_need_a_world_with_this_arm() -> None:
    poses = np.arange(14.0).reshape(2, 7)
    np.testing.assert_array_equal(hand_points(load("tabletop_ee"), "")(poses), poses[:, :3])
    with pytest.raises(InputError, match="world:=<name>"):
        hand_points(CONTRACT, "")
    with pytest.raises(InputError, match="desk_arm does not tell"):
        hand_points(CONTRACT, "desk_arm")


def test_a_chunk_is_a_line_from_the_hand_and_the_node_listens_only_beside_others() -> None:
    home, names = Tabletop.home, CONTRACT.spec.action
    actions = np.repeat(home[None], 4, 0)
    actions[:, 0] += np.arange(4) * 0.1  # the arm turns
    with bench() as made:
        node = made.node(PathNode, world="tabletop")
        heard = made.ears.listen("planned_path", MarkerArray)
        chunks = made.ears.create_publisher(JointTrajectory, "action_chunk", bridge.COMMAND)
        until(lambda: made.ears.count_subscribers("planned_path") == 1, "it is heard")
        assert chunks.get_subscription_count() == 0  # nobody executes it: this node is not taken for one that does
        made.ears.listen("action_chunk", JointTrajectory, bridge.COMMAND)
        until(lambda: chunks.get_subscription_count() == 2, "it listens beside another")
        now = node.get_clock().now().nanoseconds
        times = np.array([1, 7, 8, 9]) * 10**9  # the first set-point is past
        chunks.publish(bridge.trajectory(names, now - 2 * 10**9, times, actions))
        until(lambda: heard, "markers come")
        line, ball = heard[0].markers
        assert (line.type, line.action, line.header.frame_id) == (Marker.LINE_STRIP, Marker.ADD, "world")
        path = np.array([(p.x, p.y, p.z) for p in line.points])
        assert path.shape == (3, 3) and 0.2 < np.linalg.norm(path[0, :2]) < 0.8
        turned = np.arctan2(path[:, 1], path[:, 0])
        np.testing.assert_allclose(np.diff(turned), 0.1, atol=1e-3)
        np.testing.assert_allclose(path[:, 2], path[0, 2], atol=1e-3)
        assert (ball.points[0].x, ball.points[0].y) == (line.points[-1].x, line.points[-1].y)


def test_chunks_of_another_clock_are_reported_once_and_when_they_are_over() -> None:
    """As in the simulator, whose time has nothing to do with that of a node without use_sim_time."""
    actions = np.repeat(Tabletop.home[None], 2, 0)
    with bench() as made:
        node = made.node(PathNode, world="tabletop")
        logs = made.ears.listen("/rosout", Log, 100)
        heard = made.ears.listen("planned_path", MarkerArray)
        made.ears.listen("action_chunk", JointTrajectory, bridge.COMMAND)
        chunks = made.ears.create_publisher(JointTrajectory, "action_chunk", bridge.COMMAND)
        until(lambda: chunks.get_subscription_count() == 2, "it listens beside another")
        until(lambda: made.ears.count_publishers("/rosout") >= 2, "its log is heard")

        def show(seconds: int) -> list[str]:
            """What the node has said in all after a chunk that begins then."""
            before = len(heard)
            stamp = node.get_clock().now().nanoseconds + seconds * 10**9
            chunks.publish(bridge.trajectory(CONTRACT.spec.action, stamp, np.array([1, 2]) * 10**9, actions))
            until(lambda: len(heard) > before, "it is taken")
            return [log.msg for log in logs if log.name == node.get_logger().name and "clock" in log.msg]

        assert not show(0)
        assert not show(-2)  # late, by less than a second
        until(lambda: len(show(-1000)) == 1, "it is reported")
        (said,) = show(-1000)
        assert " 99" in said and "use_sim_time:=true" in said
        until(lambda: len(show(0)) == 2, "the end of it is reported")
        assert "again" in show(0)[-1]
