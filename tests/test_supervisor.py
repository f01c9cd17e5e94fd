import numpy as np
import pytest

from policy.robot.contract import load
from policy.robot.trajectory import Curve, velocities
from policy.running.supervisor import BRAKE, CONTESTED, Plan, Supervisor

CONTRACT = load("tabletop")
LIMITS = CONTRACT.limits
HOME = ((LIMITS.low + LIMITS.high) / 2).astype(float)
DT = CONTRACT.spec.dt_ns
TIMES = DT * np.arange(1, 17)
MS = 10**6


def moving(speed: float = 0.5, start: np.ndarray = HOME) -> np.ndarray:
    """A chunk (16, 8) whose first joint moves at some rad/s."""
    points = np.tile(start, (16, 1))
    points[:, 0] += speed * TIMES * 1e-9
    return points


@pytest.fixture
def core() -> Supervisor:
    made = Supervisor(CONTRACT)
    made.measured(HOME, 0)
    return made


def followed(core: Supervisor, steps: int = 4) -> tuple[Plan, int]:
    """Follow for some steps; the newest plan and the time."""
    now = 0
    for _ in range(steps):
        core.measured(HOME, now)
        plan = core.command(TIMES, moving(start=HOME + np.eye(8)[0] * 0.5 * now * 1e-9), now, now)
        now += DT
    assert plan is not None and core.reason == ""
    return plan, now


def test_only_the_beginning_goes_on_and_ends_at_rest(core: Supervisor) -> None:
    times, points, _ = core.command(TIMES, moving(), 0, 0)
    assert list(times) == list(TIMES[:4]) and points.shape == (4, 8)


@pytest.mark.parametrize("speed", [0.5, 50.0, -50.0])
def test_a_curve_never_leaves_the_limits_between_two_points(core: Supervisor, speed: float) -> None:
    _, now = followed(core)
    for _ in range(60):
        core.measured(HOME, now)
        assert core.command(TIMES, moving(speed, HOME), now, now) is not None
        for at in range(now, now + DT, 5 * MS):
            position, velocity = core._curve.at(at)
            assert (position >= LIMITS.low - 1e-6).all() and (position <= LIMITS.high + 1e-6).all()
            assert (np.abs(velocity) <= 1.5 * LIMITS.velocity + 1e-6).all()
        now += DT


def test_following_begins_slowly(core: Supervisor) -> None:
    _, slow, start = core.command(TIMES, moving(2.0), 0, 0)
    assert 0 < slow[0, 0] - start[0] < 0.25 * LIMITS.velocity[0] * DT * 1e-9
    assert core.limited
    core.measured(HOME, 10**9)
    core.command(TIMES, moving(2.0), 10**9, 140 * MS)
    core.measured(HOME, 10**9)
    _, fast, start = core.command(TIMES, moving(2.0, start=core._curve.at(2 * 10**9)[0]), 2 * 10**9, 10**9)
    assert fast[0, 0] - start[0] == pytest.approx(2.0 * DT * 1e-9, rel=1e-4)


def test_silent_commands_brake_the_arm_and_it_goes_on_with_the_next(core: Supervisor) -> None:
    _, now = followed(core)
    steady = now - DT
    assert core.watch(steady + 140 * MS, steady + 140 * MS) is None and not core.reason
    core.measured(HOME, steady + 151 * MS)
    times, points, start = core.watch(steady + 151 * MS, steady + 151 * MS)
    assert core.reason == "commands are silent" and list(times) == [BRAKE]
    assert 0 <= points[0, 0] - start[0] < 0.06
    assert core.watch(10**9, 10**9) is None  # held once
    core.measured(HOME, 10**9)
    assert core.command(TIMES, moving(start=core._curve.at(10**9)[0]), 10**9, 10**9) and not core.reason


def test_silent_joints_brake_the_arm(core: Supervisor) -> None:
    _, now = followed(core)
    assert core.command(TIMES, moving(), now + 200 * MS, now + 200 * MS) is not None
    assert core.reason == "joint states are silent"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nonsense_latches_a_stop(core: Supervisor, bad: float) -> None:
    _, now = followed(core)
    actions = moving()
    actions[9, 3] = bad
    assert core.command(TIMES, actions, now, now) is not None
    assert core.reason.startswith("stopped") and core.command(TIMES, moving(), now + DT, now + DT) is None
    assert core.reset() is None and core.command(TIMES, moving(), now + DT, now + DT) is not None


@pytest.mark.parametrize("times", [TIMES - DT, TIMES[::-1], np.zeros(16, int)])
def test_times_that_do_not_rise_are_held(core: Supervisor, times: np.ndarray) -> None:
    _, now = followed(core)
    assert core.command(times, moving(), now, now) is not None and "rise" in core.reason


def test_an_estop_stays_through_a_reset_and_needs_one(core: Supervisor) -> None:
    _, now = followed(core)
    assert core.estop(True, now) is not None
    assert "release" in core.reset() and core.command(TIMES, moving(), now, now) is None
    core.estop(False, now)
    assert core.command(TIMES, moving(), now, now) is None and core.reason == "stopped: e-stop"
    assert core.reset() is None and core.command(TIMES, moving(), now, now) is not None


def test_far_from_the_start_is_refused_until_it_is_near(core: Supervisor) -> None:
    far = moving(start=HOME + 0.6 * np.eye(8)[1])
    assert core.command(TIMES, far, 0, 0) is None
    assert core.reason.startswith("refused: panda_joint2")
    core.measured(HOME + 0.5 * np.eye(8)[1], DT)
    assert core.command(TIMES, far, DT, DT) is not None


def test_two_publishers_are_held_and_one_that_starts_anew_is_not(core: Supervisor) -> None:
    followed(core)
    now = 4 * DT
    core.numbered("arm", 500, now)
    core.numbered("gripper", 500, now)
    core.numbered("arm", 1, now + 1)
    core.numbered("gripper", 1, now + 1)
    assert core.watch(now, now) is None and not core.reason
    core.numbered("arm", 501, now + 2)
    core.numbered("arm", 2, now + 3)
    assert core.watch(now + 3, now + 3) is not None and "two publishers" in core.reason
    later = now + 3 + CONTESTED
    core.measured(HOME, later)
    assert core.command(TIMES, moving(start=core._curve.at(later)[0]), later, later) is not None


def test_after_a_clock_set_back_following_begins_where_the_arm_is(core: Supervisor) -> None:
    _, now = followed(core)
    moved = HOME + 0.3
    core.measured(moved, now)
    assert core.watch(0, now) is None and core.reason == "the clock was set back"
    _, points, start = core.command(TIMES, moving(start=moved), 0, now)
    np.testing.assert_allclose(start, moved)
    assert points[0, 0] - moved[0] < 0.25 * LIMITS.velocity[0] * DT * 1e-9  # slowly again


def test_velocities_end_at_rest_and_never_overshoot() -> None:
    rng = np.random.default_rng(0)
    points, start = rng.normal(size=(12, 3)), rng.normal(size=3)
    times = np.sort(rng.choice(1000, 12, replace=False) + 1) * MS
    speeds = velocities(times, points, 0, start)
    assert (speeds[-1] == 0).all()
    curve = Curve(np.insert(times, 0, 0), np.vstack([start, points]), np.vstack([np.zeros(3), speeds]))
    all_points = np.vstack([start, points])
    for i, (a, b) in enumerate(zip([0, *times[:-1]], times, strict=True)):
        low, high = np.minimum(*all_points[i : i + 2]), np.maximum(*all_points[i : i + 2])
        for at in np.linspace(a, b, 20).astype(int):
            position = curve.at(at)[0]
            assert (position >= low - 1e-9).all() and (position <= high + 1e-9).all()
