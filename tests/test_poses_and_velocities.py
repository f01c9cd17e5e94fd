"""Poses and velocities through the safety monitor: whatever is asked for, the limits hold, and so does a hold."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from policy.robot.contract import Contract, load
from policy.robot.rotation import quaternion
from policy.running.safety import SafetyMonitor
from tests.test_contract import POSE, SPEEDS, TWIST, kinds

MS = 10**6
NOW = 10**12
TICK = 10 * MS
HOME = np.array([0.0, 0.0, 0.02, 0.45, 0.0, 0.3, 0.0, 0.0, 0.0])  # j1, j2, finger, hand
UNIT = np.array([0.0, 0.0, 0.0, 1.0])


@pytest.fixture(scope="module")
def contracts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Contract]:
    groups = {"pose": POSE, "velocity": SPEEDS, "twist": TWIST}
    return {kind: load(kinds(tmp_path_factory.mktemp(kind), group)) for kind, group in groups.items()}


class Arm:
    """A robot that obeys what is published every 10 ms: a pose with a lag, a velocity at once."""

    def __init__(self, contract: Contract, lag: float = 0.1, **options: float) -> None:
        self.contract, self.lag = contract, lag
        self.monitor = SafetyMonitor(contract, **options)
        self.state, self.now = HOME.copy(), NOW
        self.published: list[np.ndarray] = []
        self.measures = True
        self.dt = contract.spec.dt_ns
        self.times = self.dt * np.arange(1, contract.spec.horizon + 1)

    def tick(self, chunk: np.ndarray | None = None) -> None:
        """10 ms, at whose beginning a chunk (N, A) may come; all is published that is to be."""
        if self.measures:
            self.monitor.measured(self.state, self.now)
        self.monitor.watch(self.now, self.now)
        if chunk is not None:
            self.monitor.command(self.now + self.times[: len(chunk)], chunk, self.now, self.now)
        for controller, values in self.monitor.streamed(self.now):
            self.published.append(values)
            self._obey(controller.command.kind, controller.measured, values)
        self.now += TICK

    def _obey(self, kind: str, measured: np.ndarray, values: np.ndarray) -> None:
        if kind == "pose":
            self.state[measured] += (values - self.state[measured]) * min(1, TICK * 1e-9 / self.lag)
        else:
            self.state[measured] += values[: len(measured)] * TICK * 1e-9

    def run(self, seconds: float, chunks: Callable[[int], np.ndarray | None]) -> np.ndarray:
        """Chunks at 20 Hz; what was published (T, J) meanwhile."""
        first = len(self.published)
        for i in range(round(seconds * 100)):
            self.tick(chunks(i // 5) if i % 5 == 0 else None)
        return np.array(self.published[first:])


def wild(rng: np.random.Generator, contract: Contract, size: float) -> Callable[[int], np.ndarray | None]:
    """Random chunks around the limits' middle and far beyond, sometimes none, sometimes one that repeats or leaps."""
    low, high = contract.limits.low.astype(float), contract.limits.high.astype(float)
    kept: list[np.ndarray] = []

    def chunk(_: int) -> np.ndarray | None:
        if rng.random() < 0.1:
            return None
        if not kept or rng.random() < 0.3:
            span = size * (high - low)
            kept.append((low + high) / 2 + rng.uniform(-span, span, (contract.spec.horizon, len(low))))
        return kept[-1][: rng.integers(1, contract.spec.horizon + 1)]

    return chunk


def angles(rotations: np.ndarray) -> np.ndarray:
    """The angle [rad] between each rotation vector and the next."""
    turned = quaternion(rotations, UNIT)
    return 2 * np.arccos(np.clip(np.abs(np.sum(turned[1:] * turned[:-1], axis=1)), 0, 1))


@pytest.mark.parametrize("seed", range(12))
def test_a_pose_stays_in_its_box_and_within_its_speeds(contracts: dict[str, Contract], seed: int) -> None:
    rng = np.random.default_rng(seed)
    arm = Arm(contracts["pose"], lag=float(rng.uniform(0.02, 0.2)), start_within_s=999.0)
    poses = arm.run(4.0, wild(rng, arm.contract, rng.choice([0.2, 1.0, 20.0])))
    if rng.random() < 0.5:
        arm.monitor.stop("on request", arm.now)
        poses = np.vstack([poses, arm.run(1.0, lambda _: None)])
    assert len(poses) > 300
    limits = arm.contract.limits
    assert (poses >= limits.low - 1e-6).all() and (poses <= limits.high + 1e-6).all()
    assert np.linalg.norm(np.diff(poses[:, :3], axis=0), axis=1).max() <= 0.5 * 0.01 + 1e-9
    assert angles(poses[:, 3:]).max() <= 1.5 * 0.01 + 1e-6
    assert np.linalg.norm(np.diff(poses[:, :3], axis=0), axis=1).max() > 0.002, "and it moves"


@pytest.mark.parametrize("kind", ["velocity", "twist"])
@pytest.mark.parametrize("seed", range(12))
def test_velocities_stay_within_their_limits_and_so_do_the_positions(
    contracts: dict[str, Contract], kind: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    arm = Arm(contracts[kind])
    command = arm.contract.action[0]
    places, positions = arm.contract.controllers[0].measured, []
    chunks = wild(rng, arm.contract, rng.choice([0.4, 1.0, 20.0]))
    towards = rng.choice([-1, 1], len(arm.contract.spec.action)) * 3.0
    for i in range(600):
        tile = np.tile(towards, (16, 1)) if i < 300 else chunks(i)
        arm.tick(tile if i % 5 == 0 else None)
        positions.append(arm.state[places].copy())
    velocities = np.array(arm.published)
    fastest = np.array(command.velocity_max)
    if kind == "twist":
        parts = np.stack([np.linalg.norm(velocities[:, part], axis=1) for part in (slice(0, 3), slice(3, 6))], 1)
        assert (parts <= fastest + 1e-9).all()
    else:
        assert (np.abs(velocities) <= fastest + 1e-9).all()
    assert (np.array(positions) >= np.array(command.position_min) - 1e-9).all()
    assert (np.array(positions) <= np.array(command.position_max) + 1e-9).all()
    near = np.minimum(np.array(positions) - command.position_min, command.position_max - np.array(positions)).min()
    assert near < 0.02, "and a limit can be reached"


@pytest.mark.parametrize("kind", ["velocity", "twist"])
def test_a_limit_is_not_passed_where_all_is_late(contracts: dict[str, Contract], kind: str) -> None:
    """Measured 50 ms ago, obeyed in 50 ms: a third of the time in which a limit would be reached."""
    arm = Arm(contracts[kind], start_within_s=999.0)
    command, places = arm.contract.action[0], arm.contract.controllers[0].measured
    obeyed, states, positions = [np.zeros(len(command.spec_names))] * 5, [arm.state.copy()] * 5, []
    arm._obey = lambda *_: None  # type: ignore[method-assign]
    for i in range(600):
        towards = 3.0 if i < 300 else -3.0
        true = states[-1].copy()
        arm.state = states[-5].copy()
        arm.tick(np.full((16, len(command.spec_names)), towards) if i % 5 == 0 else None)
        obeyed.append(arm.published[-1])
        true[places] += obeyed[-5][: len(places)] * TICK * 1e-9
        states.append(true)
        positions.append(true[places])
    assert not arm.monitor.reason
    assert (np.array(positions) <= np.array(command.position_max) + 1e-9).all()
    assert (np.array(positions) >= np.array(command.position_min) - 1e-9).all()
    assert (np.array(positions).max(0) > np.array(command.position_max) - 0.03).any()


@pytest.mark.parametrize("kind", ["velocity", "twist"])
@pytest.mark.parametrize("why", ["silent", "stop", "joints", "nan", "end"])
def test_a_velocity_that_is_held_is_zero_again_and_again(contracts: dict[str, Contract], kind: str, why: str) -> None:
    arm = Arm(contracts[kind])
    asked = np.full((16, len(arm.contract.spec.action)), 0.1)
    assert np.abs(arm.run(1.0, lambda _: asked)[-1] - 0.1).max() < 1e-9
    if why == "stop":
        arm.monitor.estop(True, arm.now)
    elif why == "joints":
        arm.measures = False
    elif why == "nan":
        arm.tick(np.full_like(asked, np.nan))
    following = {"joints": asked, "end": asked[:1]}.get(why)
    held = arm.run(0.5, lambda i: following if why == "joints" or i == 0 else None)
    assert (held[-20:] == 0).all() and len(held) == 50, "each 10 ms"
    assert why != "end" or (held[7:] == 0).all(), "before anybody counts as silent"
    assert arm.monitor.reason
    assert (arm.run(0.3, lambda _: None) == 0).all()


def test_a_velocity_is_interpolated_and_begins_slowly(contracts: dict[str, Contract]) -> None:
    arm = Arm(contracts["velocity"])
    full = np.full((16, 2), 0.5)
    begin = arm.run(0.2, lambda _: full)
    assert 0 < begin[-1, 0] < 0.35 and "velocity limit of j1_speed" in arm.monitor.limited
    arm.run(0.8, lambda _: full)
    falling = np.outer(np.linspace(0.45, -0.3, 16), [1, 1])
    arm.tick(falling)
    between = arm.run(0.1, lambda _: None)[:, 0]
    assert (np.diff(between) < 0).all() and np.abs(np.diff(between) + 0.01).max() < 1e-9


def test_a_pose_that_is_held_brakes_and_is_kept_where_it_was_measured(contracts: dict[str, Contract]) -> None:
    arm = Arm(contracts["pose"], lag=0.1)
    moving = HOME[3:] + np.outer(np.arange(1, 17) * 0.05, [0.3, 0, 0, 0.5, 0, 0])
    for i in range(60):
        arm.tick(moving + (arm.state[3:] + 0.1 * np.array([0.3, 0, 0, 0.5, 0, 0]) - HOME[3:]) if i % 5 == 0 else None)
    before = arm.published[-1]
    assert arm.published[-1][0] - arm.state[3] > 0.01, "the hand lags"
    arm.monitor.report("graph", "two publishers", arm.now)
    arm.run(0.11, lambda _: None)
    braked = arm.published[-1]
    assert 0.005 < braked[0] - before[0] < 0.04, "it goes on a little: it brakes"
    arm.tick()
    measured = arm.state[3:].copy()
    arm.run(1.0, lambda _: None)
    np.testing.assert_allclose(arm.published[-1], measured, atol=0.01)
    assert arm.published[-1][0] < braked[0] - 1e-4, "not where the set-point was"
    still = np.array(arm.published[-20:])
    assert np.ptp(still, axis=0).max() < 1e-9


def test_a_hand_that_is_moved_while_held_takes_its_set_point_along(contracts: dict[str, Contract]) -> None:
    arm = Arm(contracts["pose"], lag=1e9)  # someone holds it
    arm.run(0.5, lambda _: np.tile(HOME[3:], (16, 1)))
    arm.run(1.0, lambda _: None)
    arm.state[4] += 0.2
    arm.run(4.0, lambda _: None)
    np.testing.assert_allclose(arm.published[-1], arm.state[3:], atol=1e-6)
    arm.monitor.report("graph", "", arm.now)
    poses = arm.run(0.2, lambda _: np.tile(HOME[3:], (16, 1)))
    assert arm.monitor.reason.startswith("refused: y"), "and following does not begin from afar"
    arm.run(0.2, lambda _: np.tile(arm.state[3:], (16, 1)))
    assert not arm.monitor.reason and np.abs(np.diff(poses, axis=0)).max() < 1e-9


def test_a_hand_that_does_not_follow_is_stopped(contracts: dict[str, Contract]) -> None:
    arm = Arm(contracts["pose"], lag=1e9, start_within_s=999.0)
    step = np.tile(HOME[3:] + 0.2 * np.eye(6)[0], (16, 1))
    arm.run(2.0, lambda _: step)
    assert arm.monitor.reason.startswith("stopped: x does not follow: it is at 0.450")


@pytest.mark.parametrize("kind", ["velocity", "twist"])
def test_what_does_not_move_as_asked_is_stopped_and_what_lags_is_not(contracts: dict[str, Contract], kind: str) -> None:
    asked = np.full((16, len(contracts[kind].spec.action)), 0.2)
    blocked, lagging = Arm(contracts[kind]), Arm(contracts[kind])
    blocked._obey = lambda *_: None  # type: ignore[method-assign]  # a controller that ignores everything
    blocked.run(4.0, lambda _: asked)
    assert "does not follow: it has moved -0." in blocked.monitor.reason and blocked.monitor.stopped
    obey, late = lagging._obey, [np.zeros(len(asked[0]))] * 15

    def lag(kind: str, measured: np.ndarray, values: np.ndarray) -> None:
        late.append(values)
        obey(kind, measured, 1.03 * late[-15])

    lagging._obey = lag  # type: ignore[method-assign]  # 150 ms late and 3 % too fast
    lagging.run(10.0, lambda i: asked if i // 15 % 2 else -asked)
    assert not lagging.monitor.reason


def test_following_begins_where_the_hand_is(contracts: dict[str, Contract]) -> None:
    """Outside its box too: from there it goes in, no faster than it may."""
    arm = Arm(contracts["pose"], lag=0.05, start_within_s=999.0)
    arm.state[3] = 0.8
    inside = np.tile(HOME[3:], (16, 1))
    poses = arm.run(3.0, lambda _: inside)
    assert abs(poses[0, 0] - 0.8) < 0.01
    assert np.diff(poses[:, 0]).max() <= 0 and np.diff(poses[:, 0]).min() >= -0.005 - 1e-9
    np.testing.assert_allclose(poses[-1], HOME[3:], atol=1e-6)


def test_after_a_clock_set_back_velocities_stay_zero_until_a_command(contracts: dict[str, Contract]) -> None:
    arm = Arm(contracts["velocity"])
    asked = np.full((16, 2), 0.1)
    arm.run(1.0, lambda _: asked)
    arm.monitor.watch(5, arm.now)
    assert all((values == 0).all() for _, values in arm.monitor.streamed(5))
    arm.now = 10
    arm.run(0.8, lambda _: asked)
    assert arm.published[-1][0] > 0


def test_positions_for_an_array_are_streamed_too(tmp_path: Path) -> None:
    positions = {k: v for k, v in SPEEDS.items() if k not in ("names", "interface")}
    contract = load(kinds(tmp_path, positions))
    monitor = SafetyMonitor(contract)
    times = contract.spec.dt_ns * np.arange(1, 17)
    published = []
    for i in range(100):
        now = NOW + i * TICK
        monitor.measured(HOME, now)
        monitor.watch(now, now)
        if i % 5 == 0:
            chunk = np.outer(times + i * TICK, [0.1e-9, 0.3e-9])
            monitor.command(now + times, chunk, now, now)
        ((controller, values),) = monitor.streamed(now)
        published.append(values)
    assert controller.streamed and not monitor.reason
    moved = np.array(published)
    assert (np.diff(moved, axis=0) >= -1e-9).all() and 0.08 < moved[-1, 0] < 0.11
    assert (np.diff(moved, axis=0) <= np.array([0.5, 0.6]) * 0.015).all()
