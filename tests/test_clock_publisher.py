"""One publisher of /clock in a domain: a second one refuses to start, and one that comes later is reported."""

import pytest

from policy.errors import InputError
from tests.ros_tiny import LONG, bench, until  # skips the file where there is no ROS

# isort: split
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rosgraph_msgs.msg import Clock

from ros_nodes.clock_publisher import ClockPublisher


def test_two_simulated_robots_in_one_domain_the_second_refuses_the_first_reports_a_third() -> None:
    with bench() as stage:
        clock = stage.ears.listen("/clock", Clock, 50)
        statuses = stage.ears.listen("/diagnostics", DiagnosticArray)
        first = stage.start("sim_node", "__ns:=/left")
        until(lambda: clock, "the first robot's clock runs", 2 * LONG)

        second = stage.start("sim_node", "__ns:=/right")
        output, _ = second.communicate(timeout=2 * LONG)
        assert second.returncode == 2 and "/clock is published by /left/sim_node too" in output, output
        times = [m.clock.sec * 10**9 + m.clock.nanosec for m in clock]
        assert times == sorted(times), "the first robot's clock was never set back"

        stage.ears.create_publisher(Clock, "/clock", 10)
        third = f"{stage.ears.get_fully_qualified_name()} too"
        until(lambda: any(third in s.message for m in statuses for s in m.status), "it is reported")
        assert {s.hardware_id for m in statuses for s in m.status if third in s.message} == {"/left"}
        assert first.poll() is None


def test_another_node_of_the_same_name_is_refused_before_anything_is_published() -> None:
    with bench() as stage:
        one, two = (Node("sim_node", context=stage.context) for _ in range(2))
        clock = ClockPublisher(one)
        assert not clock.ready() and clock.conflict() == ""
        ClockPublisher(two)
        until(clock.conflict, "the other one is found")
        with pytest.raises(InputError, match="another ROS_DOMAIN_ID"):
            until(clock.ready, "discovery is over")
        for node in (one, two):
            node.destroy_node()


def test_a_clock_that_is_alone_becomes_ready() -> None:
    with bench() as stage:
        node = Node("sim_node", context=stage.context)
        clock = ClockPublisher(node)
        until(clock.ready, "publishing may begin")
        node.destroy_node()
