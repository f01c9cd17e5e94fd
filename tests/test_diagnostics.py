"""Diagnostics name their robot, stay small under hostile names and print no negative latency."""

import pytest

from tests.ros_tiny import bench  # skips the file where there is no ROS

# isort: split
from rclpy.node import Node

from ros_nodes import bridge


def test_two_robots_are_told_apart_by_their_namespace() -> None:
    with bench() as stage:
        hardware = []
        for namespace in ("left", "right"):
            node = Node("policy_node", namespace=namespace, context=stage.context)
            array = bridge.diagnostics(node, bridge.status("ok", "a", "", {}), bridge.status("warn", "b", "", {}))
            hardware.append([status.hardware_id for status in array.status])
            node.destroy_node()
    assert hardware == [["/left", "/left"], ["/right", "/right"]]


def test_hostile_text_is_cut_and_printable() -> None:
    status = bridge.status("warn", "a", "x" * 100_000, {"k" * 1000: "v" * 100_000, "line\nbreak": "\ud800"})
    (long, line) = status.values
    assert len(status.message) == len(long.value) == 1000 and len(long.key) == 100
    assert (line.key, line.value) == ("line?break", "?")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        ([], "none"),
        ([0.001, 0.002, 0.003], "2.00 / 2.98"),
        ([-0.15, -0.151, 0.002], "unknown: stamps are 150.00 ms ahead of our clock"),
    ],
)
def test_a_negative_latency_is_no_latency(seconds: list[float], text: str) -> None:
    assert bridge.percentiles(seconds) == text
