"""Who else is there: publishers and subscribers of a topic, counted by the ROS graph and not by what they send."""

from typing import Any

from rclpy.node import Node

from ros_nodes.node_names import node_name

LISTENERS = (  # they move nothing
    *("console_node", "path_node", "recorder_node", "doctor"),
    *("rosbag2_recorder", "rviz", "rviz2", "foxglove_bridge"),
)
TOOLS = "_ros2cli"  # `ros2 topic echo` and the like


def publisher_count(node: Node, topic: str) -> int:
    """How many publish a topic; namespace and remappings of the node apply."""
    return int(node.count_publishers(node.resolve_topic_name(topic)))


def count_publishers(node: Node, publishers: dict[str, int]) -> None:
    """Bring up to date how many publish each topic."""
    for topic in publishers:
        publishers[topic] = publisher_count(node, topic)


def takers(node: Node, topic: str) -> list[Any]:
    """Who subscribes to a topic, without those who only listen."""
    found = node.get_subscriptions_info_by_topic(node.resolve_topic_name(topic))
    return [one for one in found if one.node_name not in LISTENERS and not one.node_name.startswith(TOOLS)]


def publishers_fault(node: Node, topic: str, expected: int) -> str:
    """More publishers of a topic than expected, by name; "" where there are not."""
    if publisher_count(node, topic) <= expected:
        return ""
    found = node.get_publishers_info_by_topic(node.resolve_topic_name(topic))
    names = sorted(node_name(one) for one in found)
    if len(names) <= expected:  # one has gone meanwhile
        return ""
    return f"two publishers on {topic}: {', '.join(names)}; end all but one"


def unheard(node: Node, topic: str) -> str:
    """A topic that nobody takes, "" where somebody does."""
    return "" if takers(node, topic) else f"nobody listens on {topic}"
