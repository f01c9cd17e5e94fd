"""A leader arm over real DDS: the robot follows it while a person is in control, within the limits, and only then."""

import time
from collections.abc import Iterator

import numpy as np
import pytest

from policy.errors import InputError
from tests.ros_tiny import Bench, Robot, bench, until, values, within_limits  # skips the file where there is no ROS

# isort: split
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger

from ros_nodes import bridge
from ros_nodes.bridge import LIVING_IN
from ros_nodes.leader_node import LeaderNode
from ros_nodes.safety_node import AGAIN, PERSON, SafetyNode


class Leader:
    """Publishes joint states of a leader arm at 50 Hz."""

    def __init__(self, stage: Bench, robot: Robot) -> None:
        self.robot, self.at = robot, robot.action.astype(float).copy()
        self.names = [*robot.contract.action[0].joints, *robot.contract.action[1].joints]
        self.out = stage.ears.create_publisher(JointState, "leader/joint_states", 10)
        stage.ears.create_timer(0.02, self.tell)

    def tell(self) -> None:
        message = JointState(name=self.names, position=[*self.at[:7], self.at[7] * 0.5])
        message.header.stamp = bridge.stamp(self.robot.get_clock().now().nanoseconds)
        self.out.publish(message)


@pytest.fixture
def stage() -> Iterator[Bench]:
    with bench() as made:
        made.robot = made.add(Robot(made.context))
        made.node(SafetyNode, command_timeout=3.0, state_timeout=3.0)
        yield made


def test_the_robot_follows_it_while_a_person_is_in_control(stage: Bench) -> None:
    stage.node(LeaderNode)
    leader, begun = Leader(stage, stage.robot), stage.robot.action.copy()
    commands = stage.ears.listen("operator_command", bridge.message_class("trajectory_msgs/msg/JointTrajectory"))
    leader.at[1] += 0.05
    until(lambda: len(commands) > 20, "the leader is read")
    np.testing.assert_array_equal(stage.robot.action, begun)
    assert stage.ears.call("safety_node/take_over", SetBool, data=True).success
    until(lambda: abs(stage.robot.action[1] - leader.at[1]) < 1e-3, "the robot is where the leader is")
    leader.at[1] += 0.5  # in one leap
    leader.at[7] = 0.02
    until(lambda: np.abs(stage.robot.action - leader.at).max() < 1e-3, "it follows at its own speed, the gripper too")
    within_limits(stage.robot)
    assert stage.ears.call("safety_node/take_over", SetBool, data=False).success
    here = stage.robot.action.copy()
    leader.at[1] -= 0.3
    heard = len(commands)
    until(lambda: len(commands) > heard + 20, "the leader moves on")
    assert np.abs(stage.robot.action - here).max() < 0.05, "nobody follows it any more"


def test_a_leader_that_was_moved_while_the_robot_was_stopped_is_followed_once_a_person_takes_over_again(
    stage: Bench,
) -> None:
    stage.node(LeaderNode)
    leader, statuses = Leader(stage, stage.robot), stage.ears.listen("safety_node/status", DiagnosticStatus, LIVING_IN)
    assert stage.ears.call("safety_node/take_over", SetBool, data=True).success
    leader.at[1] += 0.05
    until(lambda: abs(stage.robot.action[1] - leader.at[1]) < 1e-3, "the robot is where the leader is")
    assert stage.ears.call("safety_node/estop", SetBool, data=True).success
    here = stage.robot.action.copy()
    leader.at[1] -= 0.3
    assert stage.ears.call("safety_node/estop", SetBool, data=False).success
    assert stage.ears.call("safety_node/reset", Trigger).success
    until(lambda: AGAIN in values(statuses[-1])["holding"], "it says what it waits for")
    time.sleep(1.0)
    assert np.abs(stage.robot.action - here).max() < 0.01, "nobody has asked for anything"
    assert values(statuses[-1])["in control"] == PERSON, "nor is it the policy's"
    assert stage.ears.call("safety_node/take_over", SetBool, data=True).success
    until(lambda: abs(stage.robot.action[1] - leader.at[1]) < 1e-3, "it follows again")


def test_it_takes_no_robot_without_joint_positions(stage: Bench) -> None:
    with pytest.raises(InputError, match=r"hand_controller/target_pose of tabletop_ee takes no joint positions"):
        stage.node(LeaderNode, contract="tabletop_ee")
