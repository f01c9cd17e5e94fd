"""Who publishes and who takes a topic, over real DDS: under remappings, and without those who only listen."""

from typing import Any

from tests.ros_tiny import bench, until  # skips the file where there is no ROS

# isort: split
from rclpy.node import Node
from std_msgs.msg import String

from ros_nodes.executor_thread import in_executor
from ros_nodes.graph import LISTENERS, publisher_count, publishers_fault, takers, unheard
from ros_nodes.overheard import Overheard


def test_remappings_apply() -> None:
    with bench() as stage:
        remapped = ["--ros-args", "-r", "__ns:=/left", "-r", "words:=/robot/words"]
        node = stage.add(Node("looker", context=stage.context, cli_args=remapped))
        stage.ears.create_publisher(String, "/robot/words", 1)
        until(lambda: publisher_count(node, "words") == 1, "one is counted")
        assert publishers_fault(node, "words", 1) == "" and unheard(node, "words") == "nobody listens on words"
        node.create_publisher(String, "words", 1)
        until(lambda: publisher_count(node, "words") == 2, "both are counted")
        assert publishers_fault(node, "words", 1) == "two publishers on words: /ears, /left/looker; end all but one"
        stage.ears.listen("/robot/words", String)
        until(lambda: [one.node_name for one in takers(node, "words")] == ["ears"], "one takes it")
        assert unheard(node, "words") == ""


def test_who_only_listens_takes_nothing() -> None:
    """However many of them there are: none goes on because another one does."""
    with bench() as stage:
        heard: list[Any] = []
        listeners = [stage.add(Node(name, context=stage.context)) for name in (*LISTENERS, "_ros2cli_123")]
        overheard = [Overheard(node, "words", String, heard.append) for node in listeners]

        def look(count: int) -> bool:
            for node, one in zip(listeners, overheard, strict=True):
                in_executor(node, one.look)
            return stage.ears.count_subscribers("words") == count

        assert look(0)
        taker = stage.ears.create_subscription(String, "words", lambda _: None, 1)
        until(lambda: look(len(listeners) + 1), "all listen beside one that takes it")
        assert [one.node_name for one in takers(stage.ears, "words")] == ["ears"]
        stage.forget(taker)
        until(lambda: look(0), "none is left when that one has gone")
        assert unheard(stage.ears, "words")
