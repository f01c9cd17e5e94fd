"""A publisher that cannot be connected to is named, over real DDS, and no longer once it has ended."""

from typing import Any

import pytest

from tests.ros_tiny import bench, until  # skips the file where there is no ROS

# isort: split
from rclpy.context import Context
from rclpy.node import Node
from std_msgs.msg import String

from ros_nodes import bridge, qos_events
from ros_nodes.qos_events import QosMismatches


class Listener(Node):
    """One latched subscription in a namespace."""

    def __init__(self, context: Context) -> None:
        super().__init__("listener", namespace="left", context=context)
        self.qos = QosMismatches(self)
        self.texts: list[str] = []
        self.create_subscription(
            String,
            "instruction",
            self._receive,
            bridge.LATCHED,
            event_callbacks=self.qos.subscription("instruction"),
        )

    def _receive(self, message: String) -> None:
        self.texts.append(message.data)


class Talker(Node):
    """One publisher that only latched subscriptions are refused by."""

    def __init__(self, context: Context, **options: Any) -> None:
        super().__init__("talker", context=context, **options)
        self.qos = QosMismatches(self)
        self.create_publisher(String, "/left/instruction", 10, event_callbacks=self.qos.publisher("/left/instruction"))


def test_the_default_of_ros2_topic_pub_on_a_latched_topic_is_named_until_it_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(qos_events, "SHOWN_NS", 0)
    with bench() as stage:
        listener = stage.add(Listener(stage.context))
        assert listener.qos.fault() == ""
        talker = stage.add(Talker(stage.context))
        until(lambda: "durability of /talker" in listener.qos.fault(), "the subscription names the publisher")
        assert listener.qos.fault().startswith("/left/instruction: ")
        until(lambda: "durability of /left/listener" in talker.qos.fault(), "the publisher names the subscription")
        stage.leave(talker)
        until(lambda: not listener.qos.fault(), "the publisher is gone")


def test_a_publisher_that_fits_is_no_fault_and_a_short_lived_one_stays_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(qos_events, "LOOK_NS", 0)
    monkeypatch.setattr(qos_events, "SHOWN_NS", 10**12)
    with bench() as stage:
        listener = stage.add(Listener(stage.context))
        stage.publish("/left/instruction", String, String(data="open the drawer"), bridge.LATCHED)
        until(lambda: listener.texts == ["open the drawer"], "its message arrives")
        assert listener.qos.fault() == ""
        talker = Talker(stage.context)
        until(listener.qos.fault, "the one that does not is reported")
        talker.destroy_node()  # type: ignore[no-untyped-call]  # rclpy annotates in part
        until(lambda: listener.count_publishers("/left/instruction") == 1, "it has left the graph")
        assert listener.qos.fault()
