"""What other threads ask of the one that spins a node."""

import sys
import threading
from collections.abc import Iterator

import pytest

from tests.ros_tiny import Bench, bench  # skips the file where there is no ROS

# isort: split
from rclpy.node import Node
from std_msgs.msg import String

from policy.errors import InputError
from ros_nodes.executor_thread import in_executor


@pytest.fixture
def stage() -> Iterator[Bench]:
    with bench() as made:
        yield made


def test_what_it_returns_and_raises_comes_back(stage: Bench) -> None:
    assert in_executor(stage.ears, lambda: threading.current_thread().name) == stage.spinning
    with pytest.raises(ZeroDivisionError):
        in_executor(stage.ears, lambda: 1 / 0)
    assert in_executor(stage.ears, lambda: "it spins still") == "it spins still"


def test_a_node_that_nobody_spins_is_named(stage: Bench) -> None:
    node = Node("alone", context=stage.context)
    with pytest.raises(InputError, match="alone is not spun"):
        in_executor(node, lambda: None)
    node.destroy_node()


def test_publishers_that_come_and_go_leave_the_executor_alive(stage: Bench) -> None:
    """Destroyed from this thread, they end it within about a thousand."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        stage.ears.create_timer(0.0005, lambda: None)
        for _ in range(2000):
            stage.forget(in_executor(stage.ears, lambda: stage.ears.create_publisher(String, "words", 10)))
    finally:
        sys.setswitchinterval(interval)
