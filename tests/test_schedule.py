import numpy as np
import pytest

from policy.running.schedule import Schedule
from policy.spec import Chunk

DT = 50_000_000


def chunk(stamp: int, values: list[float], instruction: int = 1) -> Chunk:
    return Chunk(stamp, DT, np.array(values, np.float32)[:, None], instruction)


@pytest.fixture
def schedule() -> Schedule:
    s = Schedule()
    s.switch(1, 0)
    return s


def test_points_are_met_on_their_clock_and_between_them_the_way_is_straight(schedule: Schedule) -> None:
    schedule.add(chunk(0, [1, 2, 4]))
    assert schedule.at(0) == [1]  # not yet there: towards the first point
    assert schedule.at(DT) == [1]
    assert schedule.at(DT + DT // 4) == pytest.approx(1.25)
    assert schedule.at(2 * DT + DT // 2) == [3]
    assert schedule.at(3 * DT) == [4]
    assert schedule.at(3 * DT + 1) is None  # past the end: the guard holds


def test_newest_chunk_wins_and_its_late_points_are_dropped_by_their_own_stamp(schedule: Schedule) -> None:
    schedule.add(chunk(0, [0, 0, 0, 0, 0, 0]))
    assert schedule.at(3 * DT) == [0]
    schedule.add(chunk(DT, [10, 20, 30, 40, 50]))  # arrives two steps late: points 10 and 20 are past
    assert schedule.at(4 * DT) == [30]
    assert schedule.at(6 * DT) == [50]


def test_an_older_frame_never_replaces_a_newer_one(schedule: Schedule) -> None:
    assert schedule.add(chunk(2 * DT, [5, 5, 5]))
    assert not schedule.add(chunk(0, [1, 1, 1, 1, 1, 1]))
    assert schedule.at(4 * DT) == [5]


def test_a_switch_keeps_only_the_prefix_that_cannot_be_taken_back(schedule: Schedule) -> None:
    schedule.add(chunk(0, [1, 2, 3, 4, 5]))
    assert schedule.at(DT) == [1]
    schedule.switch(2, keep_until_ns=2 * DT)
    assert not schedule.add(chunk(DT, [9, 9, 9, 9], instruction=1))  # was in flight: outdated by its id
    assert schedule.at(2 * DT) == [2]
    assert schedule.at(3 * DT) is None
    assert schedule.add(chunk(DT, [70, 80, 90], instruction=2))  # its first point lies in the kept prefix
    assert schedule.at(2 * DT) == [2]
    assert schedule.at(3 * DT) == [80]


def test_a_gap_after_a_switch_is_crossed_in_a_straight_line(schedule: Schedule) -> None:
    schedule.add(chunk(0, [1, 1, 1, 1]))
    schedule.at(DT)
    schedule.switch(2, keep_until_ns=2 * DT)
    schedule.add(chunk(3 * DT, [5], instruction=2))
    assert schedule.at(3 * DT) == [3]


def test_before_the_first_instruction_nothing_is_scheduled() -> None:
    schedule = Schedule()
    assert not schedule.add(chunk(0, [1]))
    assert schedule.at(0) is None


def test_what_comes_out_can_be_changed_without_changing_the_plan(schedule: Schedule) -> None:
    schedule.add(chunk(0, [1, 2]))
    action = schedule.at(DT)
    assert action is not None
    action[:] = 99
    assert schedule.at(DT) == [1]
