import numpy as np
import pytest

from policy.running.schedule import Ensemble, Schedule
from policy.spec import Chunk

DT = 50_000_000


def chunk(stamp: int, values: list[float], instruction: int = 1) -> Chunk:
    return Chunk(stamp, DT, np.array(values, np.float32)[:, None], instruction)


def ahead(schedule: Schedule, now: int) -> dict[int, float]:
    """What is still to come, by steps since 0."""
    times, actions = schedule.ahead(now)
    return dict(zip((times / DT).tolist(), actions[:, 0].tolist(), strict=True))


@pytest.fixture
def schedule() -> Schedule:
    s = Schedule()
    s.switch(1, 0)
    return s


def test_points_are_due_one_step_apart_after_the_stamp(schedule: Schedule) -> None:
    schedule.add(chunk(0, [1, 2, 4]), 0)
    assert ahead(schedule, 0) == {1: 1, 2: 2, 3: 4}
    assert ahead(schedule, DT) == {2: 2, 3: 4}
    assert ahead(schedule, 3 * DT) == {}


def test_newest_chunk_wins_and_its_late_points_are_dropped_by_their_own_stamp(schedule: Schedule) -> None:
    schedule.add(chunk(0, [0, 0, 0, 0, 0, 0]), 0)
    schedule.add(chunk(DT, [10, 20, 30, 40, 50]), 3 * DT)  # two steps late: points 10 and 20 have passed
    assert ahead(schedule, 3 * DT) == {4: 30, 5: 40, 6: 50}


def test_until_a_new_chunk_begins_the_old_one_goes_on(schedule: Schedule) -> None:
    schedule.add(chunk(0, [1, 2, 3, 4]), 0)
    schedule.add(chunk(2 * DT, [30, 40]), DT // 2)  # a frame with a stamp ahead of the clock
    assert ahead(schedule, DT // 2) == {1: 1, 2: 2, 3: 30, 4: 40}
    schedule.add(chunk(2 * DT + DT // 4, [5, 6]), DT // 2)  # two points closer than half a step would be a leap
    assert ahead(schedule, DT // 2) == {1: 1, 2: 2, 3.25: 5, 4.25: 6}


def test_an_older_frame_never_replaces_a_newer_one(schedule: Schedule) -> None:
    assert schedule.add(chunk(2 * DT, [5, 5, 5]), 2 * DT)
    assert not schedule.add(chunk(0, [1, 1, 1, 1, 1, 1]), 2 * DT)
    assert ahead(schedule, 2 * DT) == {3: 5, 4: 5, 5: 5}


def test_a_chunk_of_which_nothing_is_to_come_changes_nothing(schedule: Schedule) -> None:
    schedule.add(chunk(0, [1, 2, 3]), 0)
    assert not schedule.add(chunk(DT, [7]), 2 * DT)
    assert ahead(schedule, 2 * DT) == {3: 3}


def test_a_switch_keeps_only_the_prefix_that_cannot_be_taken_back(schedule: Schedule) -> None:
    schedule.add(chunk(0, [1, 2, 3, 4, 5]), 0)
    schedule.switch(2, keep_until=2 * DT)
    assert ahead(schedule, 0) == {1: 1, 2: 2}
    assert not schedule.add(chunk(DT, [9, 9, 9, 9], instruction=1), DT)  # was in flight: outdated by its id
    assert schedule.add(chunk(DT, [70, 80, 90], instruction=2), DT)
    assert ahead(schedule, DT) == {2: 70, 3: 80, 4: 90}, "the new one takes over at once"


def test_before_the_first_instruction_nothing_is_scheduled() -> None:
    schedule = Schedule()
    assert not schedule.add(chunk(0, [1]), 0)
    assert len(schedule.ahead(0)[0]) == 0


def test_rest_is_the_set_point_of_its_time_and_nothing_after_it(schedule: Schedule) -> None:
    schedule.add(chunk(0, [1, 2, 4]), 0)
    schedule.rest(2 * DT + DT // 2, 4 * DT)
    assert ahead(schedule, 2 * DT) == {4: 3}
    assert ahead(schedule, 4 * DT) == {}
    schedule.rest(5 * DT, 6 * DT)
    assert ahead(schedule, 0) == {}, "past the end there is none"


def test_of_what_is_done_nothing_is_averaged_with_the_rest_that_follows() -> None:
    ensemble = Ensemble()
    ensemble.switch(1, 0)
    ensemble.add(chunk(0, [2.0] * 8), 0)
    ensemble.finish()
    ensemble.add(chunk(2 * DT, [0.0] * 8), 2 * DT)
    assert set(ahead(ensemble, 2 * DT).values()) == {0.0}
