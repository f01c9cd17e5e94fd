"""Stamps off our clock are reported with their direction and size; jitter and single outliers are not."""

import pytest

from policy.robot.clock_offset import KEEP, LEAST, ClockOffset

MS = 1_000_000
START = 1_700_000_000 * 10**9


def fed(offset_ms: float, count: int = KEEP, clock: ClockOffset | None = None) -> ClockOffset:
    """`count` messages of one camera, each with a few ms of jitter."""
    clock = clock or ClockOffset()
    for i in range(count):
        now = START + i * 33 * MS
        clock.add("camera/front", now + round(offset_ms * MS) + (i % 5 - 2) * MS, now)
    return clock


@pytest.mark.parametrize(("offset", "words"), [(-150, "150 ms behind our clock"), (150, "150 ms ahead of our clock")])
def test_stamps_off_our_clock_are_reported(offset: float, words: str) -> None:
    clock = fed(offset)
    assert words in clock.fault() and clock.fault().startswith("camera/front: ")
    assert clock.offset("camera/front") == offset * MS


@pytest.mark.parametrize("offset", [0, -40, 40])
def test_ordinary_latency_is_no_fault(offset: float) -> None:
    assert fed(offset).fault() == ""


def test_a_few_late_messages_change_nothing() -> None:
    clock = fed(-5)
    fed(-500, KEEP // 4, clock)
    assert clock.fault() == ""


def test_a_lasting_offset_of_one_topic_among_others_is_found_and_forgotten_once_it_has_ended() -> None:
    clock = fed(-200)
    for i in range(KEEP):
        clock.add("joint_states", START + i, START + i)
    assert "camera/front" in clock.fault() and "joint_states" not in clock.fault()
    assert fed(-1, KEEP, clock).fault() == ""


def test_nothing_is_judged_from_a_few_messages_nor_across_a_jump_of_the_clock() -> None:
    assert fed(150, LEAST - 1).offset("camera/front") is None and fed(150, LEAST - 1).fault() == ""
    clock = fed(150)
    clock.clear()
    assert clock.fault() == "" and clock.offset("camera/front") is None
