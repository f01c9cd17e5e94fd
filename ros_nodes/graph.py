"""Who else is there: publishers and subscribers of a topic, counted by the ROS graph and not by what they send."""

from collections.abc import Mapping

from rclpy.node import Node
from rclpy.publisher import Publisher

from ros_nodes.node_names import node_name


def publishers_fault(node: Node, topic: str, expected: int) -> str:
    """More publishers of a topic than expected, by name; "" where there are not."""
    if node.count_publishers(topic) <= expected:
        return ""
    found = node.get_publishers_info_by_topic(node.resolve_topic_name(topic))
    names = sorted(node_name(one) for one in found)
    if len(names) <= expected:  # one has gone meanwhile
        return ""
    return f"two publishers on {topic}: {', '.join(names)}; end all but one"


def unheard(publishers: Mapping[str, Publisher]) -> str:
    """A topic that nobody subscribes to, "" where there is none."""
    for topic, publisher in publishers.items():
        if not publisher.get_subscription_count():
            return f"nobody listens on {topic}"
    return ""
