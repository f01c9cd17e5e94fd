"""Diagnostics name their robot, stay small under hostile names and print no negative latency."""

import itertools
from pathlib import Path

import pytest

from tests.ros_tiny import bench, until  # skips the file where there is no ROS
from tests.tiny import write_model

# isort: split
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState

from ros_nodes import bridge
from ros_nodes.policy_node import PolicyNode


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
        (
            [-0.15, -0.151, 0.002],
            "unknown: stamps are 150.00 ms ahead of our clock, or it is simulated in coarse steps",
        ),
    ],
)
def test_a_negative_latency_is_no_latency(seconds: list[float], text: str) -> None:
    assert bridge.percentiles(seconds) == text


def test_thousands_of_joint_names_do_not_make_the_diagnostics_grow(tmp_path: Path) -> None:
    """Each message lacks a joint and has another name in its place, which the reason repeats."""
    write_model(tmp_path / "model")
    with bench() as stage:
        stage.node(PolicyNode, model=str(tmp_path / "model"), autostart=True)
        arrays = stage.ears.listen("/diagnostics", DiagnosticArray)
        joints = stage.ears.create_publisher(JointState, "joint_states", 10)
        known = [f"panda_joint{i}" for i in range(1, 7)]
        hostile = (f"j{i}" for i in itertools.count())

        def dropped() -> int:
            values = {v.key: v.value for m in arrays[-1:] for s in m.status for v in s.values}
            return sum(int(count) for key, count in values.items() if key.startswith("dropped"))

        def publish() -> bool:
            for _ in range(50):
                joints.publish(JointState(name=[next(hostile), *known], position=[0.0] * 7))
            return dropped() > 500

        until(publish, "five hundred messages are dropped, each for a reason of its own")
        assert max(len(serialize_message(m)) for m in arrays) < 20_000
