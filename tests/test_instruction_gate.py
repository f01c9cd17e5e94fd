"""Which instructions a policy node obeys, by the time at which they were published."""

import time

import pytest

from tests.ros_tiny import Bench  # noqa: F401  skips the file where there is no ROS

# isort: split
from ros_nodes import bridge, instruction_gate
from ros_nodes.instruction_gate import InstructionGate


def test_to_stop_is_obeyed_whatever_came_before() -> None:
    gate = InstructionGate(False)
    assert not gate.refuse("open the drawer", 100)
    assert "older than the newest" in gate.refuse("close the drawer", 90)
    assert not gate.refuse("stop", 90)
    assert "older than the newest" in gate.refuse("close the drawer", 95), "the order is as it was"
    gate.close("a reset", 200)
    assert "from before a reset" in gate.refuse("open the drawer", 150)
    assert not gate.refuse("stop", 160)


@pytest.mark.parametrize("ahead", [0, 10**9, 10**12])
def test_the_clock_of_another_machine_makes_nothing_newer_than_now(ahead: int) -> None:
    """A stop of the robot ends an instruction that came before it, by whichever clock that was published."""
    gate = InstructionGate(False)
    published = bridge.source_time({"source_timestamp": time.time_ns() + ahead})
    assert published <= time.time_ns()
    assert not gate.refuse("open the drawer", published)
    gate.close("the e-stop", time.time_ns())
    assert not gate.newer(time.time_ns())
    assert not gate.refuse("close the drawer", bridge.source_time({}))


def test_a_clock_that_is_set_back_makes_no_instruction_old(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, hour = InstructionGate(False), 3600 * 10**9
    now = time.time_ns()
    assert not gate.refuse("open the drawer", now)
    gate.close("a reset", now)
    clock = [now - hour]
    monkeypatch.setattr(instruction_gate, "time_ns", lambda: clock[0])
    assert "older than the newest" in gate.refuse("open the drawer", now - hour - 1)
    clock[0] += 10
    assert not gate.refuse("close the drawer", now - hour + 5), "what came before is past"
    gate.close("a reset", now - hour + 7)
    assert "from before a reset" in gate.refuse("open the drawer", now - hour + 6)
    assert not gate.refuse("open the drawer", now - hour + 8)
