"""A leader arm drives a robot that a person has taken over: its joints are the set-points.

    ros2 run midstream leader_node --ros-args -p contract:=so101 -p leader:=leader/joint_states

subscribes   the leader's joint states, under the names and in the units of the robot's own controllers
publishes    operator_command, which passes the safety node after `safety_node/take_over`
"""

import sys
from functools import partial
from typing import Any

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from policy.errors import InputError
from policy.robot import contract as contracts
from policy.robot.decode import Unusable, value_decoder
from policy.robot.sources import Source
from ros_nodes import bridge
from ros_nodes.bridge import COMMAND, OPERATOR_COMMAND, OVERRIDES, SENSOR_IN


class LeaderNode(Node):
    """Follows one leader arm."""

    def __init__(self, **options: Any) -> None:
        super().__init__("leader_node", **options)
        declare = partial(bridge.declare, self)
        self._spec, topic = self._robot(
            declare("contract", "tabletop", "contract of the robot: a shipped name or a YAML file"),
            declare("leader", "leader/joint_states", "topic of the leader's sensor_msgs/msg/JointState"),
        )
        self._problem = ""
        self._out = self.create_publisher(JointTrajectory, OPERATOR_COMMAND, COMMAND)
        self.create_subscription(JointState, topic, self._follow, SENSOR_IN, qos_overriding_options=OVERRIDES)

    def _robot(self, name: str, topic: str) -> tuple[Any, str]:
        robot = contracts.load(name)
        if others := [c.topic for c in robot.action if c.kind != "position"]:
            raise InputError(f"{', '.join(others)} of {name} takes no joint positions, and a leader arm has no other")
        self._decoders = [
            value_decoder(
                Source(
                    topic,
                    joints=c.joints,
                    names=c.spec_names,
                    scale=tuple((1 / c.scales).tolist()),
                    offset=tuple((-c.offsets / c.scales).tolist()),
                )
            )
            for c in robot.action
        ]
        return robot.spec, bridge.relative(topic)

    def _follow(self, message: JointState) -> None:
        try:
            parts = [decode(message) for decode in self._decoders]
        except Unusable as error:
            if str(error) != self._problem:  # once, not with every message
                self.get_logger().warning(f"the leader is not followed: {error}")
            self._problem = str(error)
            return
        if any(part is None for part in parts):
            return
        goal = np.concatenate([np.asarray(part, float) for part in parts])
        self._out.publish(bridge.driven(self._spec, int(self.get_clock().now().nanoseconds), goal))


def main() -> int:
    """The executable."""
    return bridge.run(LeaderNode)


if __name__ == "__main__":
    sys.exit(main())
