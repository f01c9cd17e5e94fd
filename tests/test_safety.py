import numpy as np
import pytest

from policy.errors import InputError
from policy.robot.contract import load
from policy.running.safety import Guard

CONTRACT = load("tabletop")
DT = CONTRACT.spec.dt_ns
LIMITS = CONTRACT.limits
HOME = ((LIMITS.low + LIMITS.high) / 2).astype(np.float32)


@pytest.fixture
def guard() -> Guard:
    return Guard(CONTRACT)


def test_what_is_within_the_limits_passes_unchanged(guard: Guard) -> None:
    action = HOME + 0.9 * LIMITS.velocity * DT * 1e-9
    action[-1] = HOME[-1]
    command, reason = guard.check(action, HOME, 0)
    assert reason is None
    np.testing.assert_array_equal(command, action.astype(np.float32))


def test_a_leap_becomes_steps_within_the_velocity_limit_and_still_arrives(guard: Guard) -> None:
    goal = HOME.copy()
    goal[3] += 0.5
    last, reasons = HOME, []
    for i in range(12):
        command, reason = guard.check(goal, HOME, i * DT)
        assert (np.abs(command - last) <= LIMITS.velocity * DT * 1e-9 + 1e-6).all()
        last = command
        reasons.append(reason)
    np.testing.assert_allclose(last, goal, atol=1e-6)
    assert reasons[0] == f"velocity limit of {CONTRACT.spec.action[3]}" and reasons[-1] is None


def test_after_a_pause_the_arm_does_not_leap(guard: Guard) -> None:
    guard.check(HOME, HOME, 0)
    command, _ = guard.check(HOME + 1, HOME, 10_000_000_000)
    assert (np.abs(command - HOME) <= LIMITS.velocity * DT * 1e-9 + 1e-6).all()


def test_positions_stay_within_their_limits(guard: Guard) -> None:
    edge = HOME.copy()
    edge[0] = LIMITS.high[0] - 0.01
    beyond = edge.copy()
    beyond[0] = LIMITS.high[0] + 0.05
    command, reason = guard.check(beyond, edge, 0)
    assert command[0] == LIMITS.high[0] and reason == f"position limit of {CONTRACT.spec.action[0]}"


def test_with_nothing_scheduled_the_last_command_is_held_and_following_resumes(guard: Guard) -> None:
    moved, _ = guard.check(HOME + 0.02, HOME, 0)
    held, reason = guard.check(None, HOME, DT)
    np.testing.assert_array_equal(held, moved)
    assert reason is not None and "held" in reason
    assert guard.check(moved, HOME, 2 * DT)[1] is None


@pytest.mark.parametrize("bad", [np.full(len(HOME), np.nan), np.full(len(HOME), np.inf), np.zeros(len(HOME) - 1)])
def test_nonsense_stops_the_arm_until_released(guard: Guard, bad: np.ndarray) -> None:
    moved, _ = guard.check(HOME + 0.02, HOME, 0)
    command, reason = guard.check(bad, HOME, DT)
    np.testing.assert_array_equal(command, moved)
    assert reason is not None and reason.startswith("stopped")
    assert guard.check(HOME, HOME, 2 * DT)[1] == reason  # latched
    guard.release()
    assert guard.check(HOME, HOME, 3 * DT)[1] is None


def test_a_stop_holds_and_its_first_reason_stays(guard: Guard) -> None:
    guard.check(HOME, HOME, 0)
    guard.stop("operator")
    guard.stop("later")
    command, reason = guard.check(HOME + 0.02, HOME, DT)
    np.testing.assert_array_equal(command, HOME)
    assert reason == "operator"


def test_a_release_measures_from_where_the_arm_is(guard: Guard) -> None:
    guard.check(HOME, HOME, 0)
    guard.stop("operator")
    guard.release()
    pushed = HOME + np.float32(0.03)
    command, _ = guard.check(None, pushed, DT)
    np.testing.assert_array_equal(command, pushed)


def test_a_clock_that_stands_or_runs_back_moves_nothing(guard: Guard) -> None:
    guard.check(HOME, HOME, DT)
    for now in (DT, 0):
        command, reason = guard.check(HOME + 0.02, HOME, now)
        np.testing.assert_array_equal(command, HOME)
        assert reason is not None and "clock" in reason


def test_an_unknown_pose_is_refused(guard: Guard) -> None:
    with pytest.raises(InputError, match="joint topic"):
        guard.check(HOME, np.full(len(CONTRACT.spec.state), np.nan), 0)
