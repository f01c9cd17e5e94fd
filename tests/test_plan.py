"""Plans that arrive late, early or out of order at a joint_trajectory_controller: the limits hold all the same."""

from collections.abc import Callable

import numpy as np
import pytest

from policy.robot.contract import load
from policy.robot.trajectory import Curve, bounds, extremes, velocities
from policy.robot.trajectory_controller import TrajectoryController
from policy.running.plan import Plan
from policy.running.safety import SafetyMonitor

CONTRACT = load("tabletop")
LIMITS = CONTRACT.limits
DT = CONTRACT.spec.dt_ns
TIMES = DT * np.arange(1, 17)
MS = 10**6
NOW = 10**12
MIDDLE = ((LIMITS.low + LIMITS.high) / 2).astype(float)
START = MIDDLE.copy()
START[0] = LIMITS.high[0] - 0.6

Chunks = Callable[[np.ndarray, int], np.ndarray]


def towards_the_limit(position: np.ndarray, step: int) -> np.ndarray:
    points = np.tile(position, (16, 1))
    points[:, 0] += 5.0 * TIMES * 1e-9
    return points


def run(
    chunks: Chunks,
    seed: int,
    late_ms: float,
    skew_ms: int,
    seconds: float = 1.5,
    start: np.ndarray = START,
    lost: float = 0.0,
    copies: bool = True,
    in_order: bool = False,
    after_ms: int = 0,
) -> np.ndarray:
    """Set-points (T, A) of the controllers, one each ms.

    Each message is late by up to `late_ms` of its own, `in_order` as DDS has them or not, and of all a share is
    `lost`; copies go out as the safety node sends them. Set-points are due each 50 ms, commands come `after_ms` after
    one of them.
    """
    rng, skew = np.random.default_rng(seed), skew_ms * MS
    monitor = SafetyMonitor(CONTRACT)
    controllers = {
        topic: TrajectoryController(joints, position, NOW + skew) for topic, joints, position in CONTRACT.split(start)
    }
    newest: dict[str, Plan] = {}
    on_the_way: list[tuple[int, Plan]] = []
    setpoints: list[np.ndarray] = []

    def setpoint(now: int) -> np.ndarray:
        return CONTRACT.join([(topic, c.joints, c.at(now + skew)) for topic, c in controllers.items()]).astype(float)

    for ms in range(round(seconds * 1000)):
        now = NOW + ms * MS
        position = setpoint(now)
        monitor.measured(position, now)
        plans = monitor.watch(now, now)
        if ms % 50 == after_ms:
            plans += monitor.command(now - after_ms * MS + TIMES, chunks(position, ms // 50), now, now)
        newest |= {plan.controller.topic: plan for plan in plans}
        if copies and ms % 10 == 0:
            plans += [plan for plan in newest.values() if plan.due_again(now)]
        for plan in plans:
            if rng.random() >= lost:
                arrives = now + round(rng.uniform(0, late_ms) * MS)
                on_the_way.append((max([arrives, *(t for t, _ in on_the_way if in_order)]), plan))
        for message in [one for one in on_the_way if one[0] <= now]:
            on_the_way.remove(message)
            plan, (points, speeds) = message[1], message[1].in_robot_units()
            follow, joints = controllers[plan.controller.topic].command, list(plan.controller.joints)
            assert follow(joints, plan.times - plan.stamp, points, speeds, plan.stamp, now + skew) is None
        setpoints.append(setpoint(now))
    assert not monitor.reason
    return np.array(setpoints)


def beyond(setpoints: np.ndarray) -> float:
    return float(np.maximum(setpoints - LIMITS.high, LIMITS.low - setpoints).max())


def too_fast(setpoints: np.ndarray) -> bool:
    """Whether more than 1.5 times a velocity limit at an instant, or 1.05 times over 50 ms."""
    speed = np.abs(np.diff(setpoints, axis=0)) * 1000 / LIMITS.velocity
    mean = np.abs(setpoints[50:] - setpoints[:-50]) * 20 / LIMITS.velocity
    return bool(speed.max() >= 1.5 or mean.max() >= 1.05)


def few_and_many(few: int, many: int) -> pytest.MarkDecorator:
    """Some of the seeds, and in `make test-all` the others as well."""
    others = pytest.param(range(few, many), marks=pytest.mark.heavy)
    return pytest.mark.parametrize("seeds", [range(few), others], ids=["few", "many"])


@pytest.mark.slow
@few_and_many(3, 67)
@pytest.mark.parametrize("skew_ms", [-20, 0, 20])
def test_no_set_point_is_beyond_a_limit_however_late_messages_are(skew_ms: int, seeds: range) -> None:
    """Full speed at a position limit; delays of 0 to 60 ms, in which messages overtake each other."""
    for seed in seeds:
        latest = float(np.random.default_rng([seed, skew_ms + 20]).uniform(0, 60))
        setpoints = run(towards_the_limit, seed, latest, skew_ms, 0.8)
        assert beyond(setpoints) < 1e-6
        assert setpoints[-1, 0] > LIMITS.high[0] - 1e-3, "and it gets there"


@pytest.mark.slow
@few_and_many(2, 8)
@pytest.mark.parametrize("skew_ms", [-20, 0, 20])
@pytest.mark.parametrize("in_order", [True, False])
def test_a_policy_that_changes_its_mind_at_any_moment_keeps_the_limits(
    skew_ms: int, in_order: bool, seeds: range
) -> None:
    """With copies in order, as DDS has them; without them also where messages overtake each other.

    In order, all are about as late as the latest may be: at 60 ms such a policy has been seen at 1.54 times a limit.
    """
    for seed in seeds:
        rng = np.random.default_rng([seed, 1])
        speeds = rng.uniform(-1.0, 1.0, (60, 7))

        def wild(position: np.ndarray, step: int, speeds: np.ndarray = speeds) -> np.ndarray:
            points = np.tile(position, (16, 1))
            points[:, :7] += speeds[step // 3] * TIMES[:, None] * 1e-9
            return points

        setpoints = run(wild, seed, 50.0 if in_order else 60.0, skew_ms, 2.0, copies=in_order, in_order=in_order)
        assert beyond(setpoints) < 1e-6
        assert skew_ms or not too_fast(setpoints)  # with clocks that agree


def waves(seed: int) -> Chunks:
    """A smooth motion about the middle."""
    rng = np.random.default_rng([seed, 2])
    rates, phases = rng.uniform(1, 6, (2, 7))

    def chunk(position: np.ndarray, step: int) -> np.ndarray:
        points = np.tile(MIDDLE, (16, 1))
        angles = rates * (step * DT + TIMES)[:, None] * 1e-9 + phases
        points[:, :7] += 0.5 * (np.sin(angles) - np.sin(phases)) / rates
        return points

    return chunk


@pytest.mark.slow
@few_and_many(2, 6)
def test_a_fifth_of_the_commands_may_be_lost(seeds: range) -> None:
    """Where two in a row are lost the controller stands at the end of its plan; see `Plan.due_again`."""
    for seed in seeds:
        setpoints = run(waves(seed), seed, 1.0, 0, 4.0, MIDDLE, lost=0.2, in_order=True, after_ms=8 * seed)
        assert beyond(setpoints) < 1e-6 and not too_fast(setpoints)
        assert np.ptp(setpoints[:, 0]) > 0.1, "and it moves"


@pytest.mark.slow
@few_and_many(1, 4)
@pytest.mark.parametrize("after_ms", [5, 20, 35])
def test_commands_may_come_at_any_time_between_two_set_points(seeds: range, after_ms: int) -> None:
    """What is followed is certain only from the first point of a plan that departs, up to 138 ms after it was sent."""
    for seed in seeds:
        setpoints = run(waves(seed), seed, 60.0, 0, 3.0, MIDDLE, in_order=True, after_ms=after_ms)
        assert beyond(setpoints) < 1e-6 and not too_fast(setpoints)


def test_undelayed_motion_is_not_slowed() -> None:
    """From rest to a limit 0.6 rad away: 0.50 s when each plan replaced the one before at once (November 2026)."""
    arrived = int(np.argmax(run(towards_the_limit, 0, 0.0, 0)[:, 0] > LIMITS.high[0] - 2e-3))
    assert 0 < arrived <= 500


def test_a_new_direction_is_taken_at_once() -> None:
    """What a controller receives in time changes its next set-point, not only the one after the delay allowed for."""

    def turns(position: np.ndarray, step: int) -> np.ndarray:
        points = np.tile(position, (16, 1))
        points[:, 0] += (0.4 if step < 20 else -0.4) * TIMES * 1e-9
        return points

    setpoints = run(turns, 0, 0.0, 0)
    straight = setpoints[999, 0] + 0.4e-3 * np.arange(1, 51)
    assert np.abs(setpoints[1000:1050, 0] - straight).max() > 1e-3
    assert setpoints[1200, 0] < setpoints[1060, 0] - 0.03


def test_velocities_end_at_rest_and_never_overshoot() -> None:
    rng = np.random.default_rng(0)
    points, start = rng.normal(size=(12, 3)), rng.normal(size=3)
    times = np.sort(rng.choice(1000, 12, replace=False) + 1) * MS
    speeds = velocities(np.diff(points, axis=0, prepend=start[None]) / (np.diff(times, prepend=0)[:, None] * 1e-9))
    assert (speeds[-1] == 0).all()
    curve = Curve(np.insert(times, 0, 0), np.vstack([start, points]), np.vstack([np.zeros(3), speeds]))
    all_points = np.vstack([start, points])
    for i, (a, b) in enumerate(zip([0, *times[:-1]], times, strict=True)):
        low, high = np.minimum(*all_points[i : i + 2]), np.maximum(*all_points[i : i + 2])
        positions, _ = curve.sample(np.linspace(a, b, 20).astype(int))
        assert (positions >= low - 1e-9).all() and (positions <= high + 1e-9).all()


@pytest.mark.parametrize("linear", [False, True])
def test_one_time_and_many_are_sampled_alike(linear: bool) -> None:
    rng = np.random.default_rng(1)
    curve = Curve(np.array([0, 40, 90, 200]) * MS, rng.normal(size=(4, 3)), None if linear else rng.normal(size=(4, 3)))
    at = np.array([-5, 0, 7, 40, 63, 90, 199, 200, 400]) * MS
    positions, speeds = curve.sample(at)
    for i, time in enumerate(at.tolist()):
        np.testing.assert_allclose(curve.at(time)[0], positions[i], atol=1e-12)
        np.testing.assert_allclose(curve.at(time)[1], speeds[i], atol=1e-9)


def test_extremes_are_those_of_the_curve() -> None:
    rng = np.random.default_rng(2)
    p, q, v, w = rng.normal(size=(4, 300))
    v[:20], w[20:40], q[40:60] = 0, 0, p[40:60]
    low, high, speed = extremes(p, 20 * v, q, 20 * w, np.array(0.1))
    below, above, faster = bounds(p, 20 * v, q, 20 * w, np.array(0.1))
    assert (below <= low + 1e-9).all() and (above >= high - 1e-9).all() and (faster >= speed - 1e-9).all()
    curve = Curve(np.array([0, 100 * MS]), np.stack([p, q]), np.stack([20 * v, 20 * w]))
    positions, speeds = curve.sample(np.linspace(1, 100 * MS - 1, 4001).astype(int))
    np.testing.assert_allclose(low, positions.min(0), atol=1e-4)
    np.testing.assert_allclose(high, positions.max(0), atol=1e-4)
    np.testing.assert_allclose(speed, np.abs(speeds).max(0), rtol=1e-3)
