"""How a controller is commanded: one kind of output for each message type that a contract's action may name.

    JointTrajectory         each plan on a topic, and copies of it while they are in time
    FollowJointTrajectory   each plan as a goal, which takes the place of the one before
    Float64MultiArray, PoseStamped, TwistStamped     the set-point now, every 10 ms
    GripperCommand          a goal where the set-point has changed

What is held is published no more, a velocity apart: that is zero again and again.
"""

from array import array
from time import monotonic_ns
from typing import Any, Protocol

import numpy as np
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion, Twist, TwistStamped, Vector3
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.task import Future
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from policy.robot.commands import Controller
from policy.robot.message_types import ARRAY, FOLLOW, GRIPPER, POSE, TRAJECTORY, TWIST
from policy.robot.rotation import quaternion
from policy.running.plan import Plan
from ros_nodes import bridge
from ros_nodes.bridge import COMMAND, OVERRIDES
from ros_nodes.graph import publishers_fault, unheard
from ros_nodes.qos_events import QosMismatches

RETRY = 1_000_000_000  # ns from a goal that is refused to the next
OPENING = 0.01  # of a gripper's range: a smaller change is no new goal
EVERY = 100_000_000  # ns from one goal of a gripper to the next: it moves at its own speed


class Output(Protocol):
    """One controller, as the safety node commands it; of `plan` and `set_point` a controller gets one."""

    def plan(self, plan: Plan) -> None:
        """Send a plan."""

    def set_point(self, values: np.ndarray, now: int, held: bool) -> None:
        """Send the set-point (J,) in units of the policy at a time [ns], where it is to be sent."""

    def again(self, now: int) -> None:
        """Send once more what may have been lost."""

    def fault(self) -> str:
        """Who else commands this controller, or that nobody takes the commands; "" if all is well."""

    def close(self) -> None:
        """Free it, before the node is destroyed."""


def make(node: Node, controller: Controller, mismatches: QosMismatches) -> Output:
    """The output of a controller; `InputError` where its message type is not installed."""
    kind = controller.command.type
    if kind == FOLLOW:
        return TrajectoryGoals(node, controller)
    if kind == GRIPPER:
        return GripperGoals(node, controller)
    return Topic(node, controller, mismatches)


class Topic:
    """Plans as JointTrajectory, or set-points as they are."""

    def __init__(self, node: Node, controller: Controller, mismatches: QosMismatches) -> None:
        self._node, self._controller, self._topic = node, controller, bridge.relative(controller.topic)
        self._publisher = node.create_publisher(
            bridge.message_class(controller.command.type),
            self._topic,
            COMMAND,
            qos_overriding_options=OVERRIDES,
            event_callbacks=mismatches.publisher(self._topic),
        )
        self._newest: tuple[Plan, JointTrajectory] | None = None
        self._sent: np.ndarray | None = None
        self._repeats = controller.command.kind in ("velocity", "twist")

    def plan(self, plan: Plan) -> None:
        # Not what rclpy's serialize_message gives: it pads the end, and a recording of it is read by rclpy alone.
        self._newest = plan, bridge.plan_message(plan)
        self._publisher.publish(self._newest[1])

    def set_point(self, values: np.ndarray, now: int, held: bool) -> None:
        if held and not self._repeats and self._sent is not None and np.array_equal(values, self._sent):
            return
        self._sent = values
        self._publisher.publish(set_point_message(self._controller, values, now))

    def again(self, now: int) -> None:
        if self._newest is not None and self._newest[0].due_again(now):
            self._publisher.publish(self._newest[1])

    def fault(self) -> str:
        return publishers_fault(self._node, self._topic, 1) or unheard(self._node, self._topic)

    def close(self) -> None:
        self._node.destroy_publisher(self._publisher)


class _Goals:
    """Goals for an action server; one that is refused is a fault for a while, then another is tried."""

    def __init__(self, node: Node, controller: Controller) -> None:
        self._node, self._controller, self._name = node, controller, bridge.relative(controller.topic)
        self._type: Any = bridge.message_class(controller.command.type)
        self._client = ActionClient(node, self._type, self._name)
        self._refused_at = -RETRY  # steady ns

    def again(self, now: int) -> None:
        """A goal is a request, which is answered: nothing of it is lost."""

    def fault(self) -> str:
        if not self._client.server_is_ready():
            return f"no action server on {self._name}"
        clients = self._node.count_clients(f"{self._node.resolve_topic_name(self._name)}/_action/send_goal")
        if clients > 1:
            return f"{clients} clients of {self._name}; end all but this node"
        if monotonic_ns() - self._refused_at < RETRY:
            return f"{self._name} refused a goal; look at what the controller logs"
        return ""

    def close(self) -> None:
        self._client.destroy()

    def _send(self, goal: Any) -> None:
        if self._client.server_is_ready():
            self._client.send_goal_async(goal).add_done_callback(self._answered)

    def _answered(self, answer: Future) -> None:
        handle = answer.result()
        if handle is not None and not handle.accepted:
            self._refused()

    def _refused(self) -> None:
        self._refused_at = monotonic_ns()


class TrajectoryGoals(_Goals):
    """Plans as goals of FollowJointTrajectory."""

    def plan(self, plan: Plan) -> None:
        self._send(self._type.Goal(trajectory=bridge.plan_message(plan)))

    def set_point(self, values: np.ndarray, now: int, held: bool) -> None:
        raise NotImplementedError("trajectories are sent as plans")


class GripperGoals(_Goals):
    """The opening of a gripper as goals of GripperCommand."""

    def __init__(self, node: Node, controller: Controller) -> None:
        super().__init__(node, controller)
        command = controller.command
        self._enough = OPENING * (command.position_max[0] - command.position_min[0])
        self._sent: float | None = None  # what the server has taken, as far as is known
        self._sent_at = -EVERY  # steady ns

    def plan(self, plan: Plan) -> None:
        """Its set-point is sent when it is due."""

    def set_point(self, values: np.ndarray, now: int, held: bool) -> None:
        value, steady = float(values[0]), monotonic_ns()
        ready = self._client.server_is_ready()
        if not ready:
            self._sent = None  # one that comes back knows nothing of it
        if held or steady - self._sent_at < EVERY or not ready:
            return
        if self._sent is None or abs(value - self._sent) > self._enough:
            self._sent, self._sent_at = value, steady
            goal = self._type.Goal()
            goal.command.position = value * float(self._controller.scale[0]) + float(self._controller.offset[0])
            goal.command.max_effort = self._controller.command.max_effort
            self._send(goal)

    def _refused(self) -> None:
        super()._refused()
        self._sent = None


def set_point_message(controller: Controller, values: np.ndarray, now: int) -> Any:
    """A set-point (J,) in units of the policy at a time [ns] as its controller takes it."""
    command = controller.command
    if command.type == ARRAY:
        return Float64MultiArray(data=array("d", values * controller.scale + controller.offset))
    if command.type == POSE:
        return pose_message(values, command.reference, command.frame, now)
    assert command.type == TWIST, f"{command.type} is no set-point; {TRAJECTORY} is sent as a plan"
    x, y, z, a, b, c = values.tolist()
    message = TwistStamped(twist=Twist(linear=Vector3(x=x, y=y, z=z), angular=Vector3(x=a, y=b, z=c)))
    message.header.stamp, message.header.frame_id = bridge.stamp(now), command.frame
    return message


def pose_message(values: np.ndarray, reference: tuple[float, ...], frame: str, now: int) -> PoseStamped:
    """Position and rotation vector (6,) from a reference orientation, at a time [ns]."""
    x, y, z = values[:3].tolist()
    a, b, c, w = quaternion(values[3:], np.array(reference)).tolist()
    message = PoseStamped(pose=Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=a, y=b, z=c, w=w)))
    message.header.stamp, message.header.frame_id = bridge.stamp(now), frame
    return message
