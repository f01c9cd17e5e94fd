"""The planned path of the hand as markers, for RViz and Foxglove.

    action_chunk  ->  path_node  ->  planned_path (visualization_msgs/MarkerArray)

    ros2 run midstream path_node --ros-args -p world:=tabletop

A line through the set-points of the newest chunk that are still to come, with a ball at its end. Where the contract
asks for poses of the hand, they are the path. Where it asks for joints, the kinematics of a simulated world give it.
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
        self._chunk = Overheard(self, ACTION_CHUNK, JointTrajectory, self._take)
        self.create_timer(LOOK, self._chunk.look, clock=STEADY)

    def _take(self, message: JointTrajectory) -> None:
        try:
            stamp, times, actions = bridge.chunk(message, self._names)
        except InputError:
            return  # the safety node says so
        coming = stamp + times > self.get_clock().now().nanoseconds
        self._out.publish(MarkerArray(markers=self._markers(self._points(actions[coming]), message)))

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
