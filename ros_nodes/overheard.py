"""Listening without being counted: policy and safety node hold the arm where nobody listens to their commands."""

from collections.abc import Callable
from typing import Any

from rclpy.node import Node

from ros_nodes.bridge import COMMAND
from ros_nodes.graph import takers


class Overheard:
    """A topic that is listened to only while somebody takes it (`graph.takers`)."""

    def __init__(self, node: Node, topic: str, kind: type, take: Callable[[Any], None]) -> None:
        self._node, self._topic, self._kind, self._take = node, topic, kind, take
        self._subscription: Any = None

    def look(self) -> None:
        """Begin or end, as others do."""
        others = takers(self._node, self._topic)
        if others and self._subscription is None:
            self._subscription = self._node.create_subscription(self._kind, self._topic, self._take, COMMAND)
        elif not others and self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
