"""/clock, of which a domain may have one publisher: two would set each other's time back.

start    |-- other publishers are looked for --|-- publish ...
another            refuse to start                   report it
"""

from time import monotonic_ns

from rclpy.node import Node
from rosgraph_msgs.msg import Clock

from policy.errors import InputError
from ros_nodes import bridge
from ros_nodes.node_names import node_name

DISCOVERY_NS = 4_000_000_000  # Fast DDS finds other nodes at once or with its next announcement, every 3 s


class ClockPublisher:
    """A node's publisher of the simulated time; times in ns."""

    def __init__(self, node: Node) -> None:
        self._node, self._created = node, monotonic_ns()
        self._publisher = node.create_publisher(Clock, "/clock", 10)
        self._published = False

    def ready(self) -> bool:
        """Whether publishing may begin; `InputError` where another node publishes already."""
        if monotonic_ns() - self._created < DISCOVERY_NS:
            return False
        if not self._published and (conflict := self.conflict()):
            raise InputError(
                f"{conflict}; end the other node, or start this one with another ROS_DOMAIN_ID "
                "(a process that was killed stays known for 20 s)"
            )
        return True

    def conflict(self) -> str:
        """A sentence where another node publishes too, "" where none does."""
        topic = self._publisher.topic_name
        names = [node_name(publisher) for publisher in self._node.get_publishers_info_by_topic(topic)]
        ours = self._node.get_fully_qualified_name()
        if ours in names:  # once: another node may have the same name
            names.remove(ours)
        return f"{topic} is published by {', '.join(names)} too: two clocks set each other back" if names else ""

    def publish(self, now: int) -> None:
        """The simulated time is now this."""
        self._published = True
        self._publisher.publish(Clock(clock=bridge.stamp(now)))
