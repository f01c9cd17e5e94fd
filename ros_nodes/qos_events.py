"""Publishers and subscriptions of other nodes whose quality of service does not fit ours, as one sentence.

other node        offers VOLATILE  --x-->  asks for TRANSIENT_LOCAL   our subscription
                                   the middleware connects nothing and only calls back
"""

from collections.abc import Callable
from time import monotonic_ns
from typing import Any

from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, qos_check_compatible, qos_policy_name_from_kind

from ros_nodes.node_names import node_name

SHOWN_NS = 5_000_000_000  # a mismatch is reported for so long, also where the other node has ended
LOOK_NS = 500_000_000  # between two looks at the graph


class QosMismatches:
    """What one node's topics do not connect to; pass the callbacks as `event_callbacks` and ask `fault`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._found: dict[str, tuple[int, str, str]] = {}  # topic -> steady ns of its event, policy, other nodes
        self._fault, self._looked = "", 0

    def subscription(self, topic: str, liveliness: Callable[[Any], None] | None = None) -> SubscriptionEventCallbacks:
        """Event callbacks of a subscription of this node."""
        return SubscriptionEventCallbacks(incompatible_qos=lambda event: self._add(topic, event), liveliness=liveliness)

    def publisher(self, topic: str) -> PublisherEventCallbacks:
        """Event callbacks of a publisher of this node."""
        return PublisherEventCallbacks(incompatible_qos=lambda event: self._add(topic, event))

    def fault(self) -> str:
        """The topics on which another node's publisher or subscription does not fit, "" where there is none."""
        now = monotonic_ns()
        if self._found and now - self._looked > LOOK_NS:
            self._look(now)
        return self._fault

    def _add(self, topic: str, event: Any) -> None:
        name = self._node.resolve_topic_name(topic)
        self._found[name] = monotonic_ns(), qos_policy_name_from_kind(event.last_policy_kind), ""
        self._look(monotonic_ns())
        self._node.get_logger().warning(self._fault)

    def _look(self, now: int) -> None:
        self._looked = now
        sentences = []
        for topic, (since, policy, names) in list(self._found.items()):
            nodes = self._incompatible(topic)
            if not nodes and now - since > SHOWN_NS:
                del self._found[topic]
                continue
            names = ", ".join(nodes) or names
            self._found[topic] = since, policy, names
            sentences.append(
                f"{topic}: the {policy.lower()} of {names or 'another node'} does not fit this node's: "
                f"no message passes between them; see `ros2 topic info --verbose {topic}`"
            )
        self._fault = "; ".join(sentences)

    def _incompatible(self, topic: str) -> list[str]:
        """Names of the nodes whose endpoint cannot be connected to ours."""
        publishers = self._node.get_publishers_info_by_topic(topic)
        subscriptions = self._node.get_subscriptions_info_by_topic(topic)
        ours, found = self._node.get_fully_qualified_name(), set()
        for publisher in publishers:
            for subscription in subscriptions:
                if (node_name(publisher) == ours) == (node_name(subscription) == ours):
                    continue
                result, _ = qos_check_compatible(publisher.qos_profile, subscription.qos_profile)
                if result == QoSCompatibility.ERROR:
                    other = subscription if node_name(publisher) == ours else publisher
                    found.add(node_name(other))
        return sorted(found)
