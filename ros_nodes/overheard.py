"""Listening without being counted: policy and safety node hold the arm where nobody listens to their commands."""

from collections.abc import Callable
from typing import Any

from rclpy.node import Node

from ros_nodes.bridge import COMMAND


class Overheard:
    """A topic that is listened to only while somebody else listens too."""

    def __init__(self, node: Node, topic: str, kind: type, take: Callable[[Any], None]) -> None:
        self._node, self._topic, self._kind, self._take = node, topic, kind, take
        self._subscription: Any = None

    def look(self) -> None:
        """Begin or end, as others do."""
        others = self._node.count_subscribers(self._node.resolve_topic_name(self._topic)) - bool(self._subscription)
        if others > 0 and self._subscription is None:
            self._subscription = self._node.create_subscription(self._kind, self._topic, self._take, COMMAND)
        elif others <= 0 and self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
