"""The planned path of the hand as markers, for RViz and Foxglove.

    action_chunk  ->  path_node  ->  planned_path (visualization_msgs/MarkerArray)

    ros2 run midstream path_node --ros-args -p world:=tabletop -p use_sim_time:=true

A line through the set-points of the newest chunk that are still to come, with a ball at its end. Where the contract
asks for poses of the hand, they are the path. Where it asks for joints, the kinematics of a simulated world give it.
What is still to come is told by this node's clock, so it needs the `use_sim_time` of the policy.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
from geometry_msgs.msg import Point
from rclpy.node import Node
from std_msgs.msg import ColorRGBA
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import Marker, MarkerArray

from policy.errors import InputError
from policy.robot import contract as contracts
from policy.robot.contract import Contract
from ros_nodes import bridge
from ros_nodes.bridge import ACTION_CHUNK, STEADY
from ros_nodes.overheard import Overheard
from sim.worlds import load

LOOK = 0.5  # s between two looks at who listens
LINGER = 500_000_000  # ns for which a path is shown that no other follows
PAST = 1.0  # s since the last point of a chunk, from which it is of another clock and not merely late
LINE, BALL = 0.008, 0.022  # m
COLOUR = ColorRGBA(r=0.04, g=0.36, b=0.76, a=1.0)

HandPoints = Callable[[np.ndarray], np.ndarray]  # set-points (N, A) -> (N, 3) m


@runtime_checkable
class KnowsHand(Protocol):
    """A world that knows where set-points put the hand."""

    def hand_points(self, actions: np.ndarray) -> np.ndarray:
        """Set-points (N, A) -> (N, 3) m in the frame of the robot's base."""


class PathNode(Node):
    """Publishes the path of each chunk."""

    def __init__(self, **options: Any) -> None:
        super().__init__("path_node", **options)
        declare = partial(bridge.declare, self)
        contract = contracts.load(declare("contract", "tabletop", "contract: a shipped name or a YAML file"))
        world = declare("world", "", "world whose kinematics tell where joints put the hand; not for poses of a hand")
        self._frame = declare("frame", "world", "name of the frame of the robot's base")
        self._names = contract.spec.action
        self._points = hand_points(contract, world)
        self._out = self.create_publisher(MarkerArray, "planned_path", 1)
        self._other_clock = False  # whether the newest chunk was of one
        self._chunk = Overheard(self, ACTION_CHUNK, JointTrajectory, self._take)
        self.create_timer(LOOK, self._chunk.look, clock=STEADY)

    def _take(self, message: JointTrajectory) -> None:
        try:
            stamp, times, actions = bridge.chunk(message, self._names)
        except InputError:
            return  # the safety node says so
        now = self.get_clock().now().nanoseconds
        self._check_clock((now - stamp - int(times[-1])) * 1e-9)
        coming = stamp + times > now
        self._out.publish(MarkerArray(markers=self._markers(self._points(actions[coming]), message)))

    def _check_clock(self, past: float) -> None:
        """Say once that chunks end too long ago [s] to be of this node's clock, and when they do no more."""
        before, self._other_clock = self._other_clock, past > PAST
        if self._other_clock and not before:
            self.get_logger().warning(
                f"no path is shown: a chunk came whose last point was {past:.1f} s ago by this node's clock, expected "
                "points still to come; give this node the use_sim_time of the policy node (-p use_sim_time:=true in "
                "simulation), or synchronise the clocks of the computers"
            )
        elif before and not self._other_clock:
            self.get_logger().info("chunks are of this node's clock again")

    def _markers(self, path: np.ndarray, message: JointTrajectory) -> list[Marker]:
        points = [Point(x=float(x), y=float(y), z=float(z)) for x, y, z in path]
        made = []
        for number, (kind, size, of) in enumerate(
            ((Marker.LINE_STRIP, LINE, points), (Marker.SPHERE_LIST, BALL, points[-1:]))
        ):
            marker = Marker(ns="planned_path", id=number, type=kind, color=COLOUR, points=of)
            marker.header.frame_id, marker.header.stamp = self._frame, message.header.stamp
            marker.action = Marker.ADD if len(points) > 1 else Marker.DELETE
            marker.pose.orientation.w = 1.0
            marker.scale.x = marker.scale.y = marker.scale.z = size
            marker.lifetime.nanosec = LINGER
            made.append(marker)
        return made


def hand_points(contract: Contract, world: str) -> HandPoints:
    """Where set-points of a contract put the hand; `InputError` where nothing knows it."""
    begin = 0
    for command in contract.action:
        if command.kind == "pose":
            return lambda actions: actions[:, begin : begin + 3]
        begin += len(command.spec_names)
    if not world:
        raise InputError(
            "the contract asks for joints: give -p world:=<name> of a simulated robot with this arm, such as tabletop"
        )
    simulated = load(world)()
    if not isinstance(simulated, KnowsHand) or simulated.contract().spec.action != contract.spec.action:
        raise InputError(f"the world {world} does not tell where this contract's set-points put the hand")
    return simulated.hand_points


def main() -> int:
    """The executable."""
    return bridge.run(PathNode)


if __name__ == "__main__":
    sys.exit(main())
