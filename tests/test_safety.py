"""The safety monitor: what it lets through, when it holds, and from where it begins again."""

import numpy as np
import pytest

from policy.robot.contract import load
from policy.running.plan import Plan
from policy.running.safety import SafetyMonitor
from policy.running.schedule import Schedule
from policy.spec import Chunk
from tests import small_robot

CONTRACT = load("tabletop")
LIMITS = CONTRACT.limits
HOME = ((LIMITS.low + LIMITS.high) / 2).astype(float)
DT = CONTRACT.spec.dt_ns
TIMES = DT * np.arange(1, 17)
MS = 10**6
NOW = 10**12


def moving(speed: float = 0.5, start: np.ndarray = HOME) -> np.ndarray:
    """A chunk (16, 8) whose first joint moves at some rad/s."""
    points = np.tile(start, (16, 1))
    points[:, 0] += speed * TIMES * 1e-9
    return points


class Arm:
    """A monitor, and an arm that is wherever its set-point is, one step at a time."""

    def __init__(self, position: np.ndarray = HOME) -> None:
        self.monitor, self.position, self.now = SafetyMonitor(CONTRACT), position.copy(), NOW

    def step(self, actions: np.ndarray | None = None, speed: float = 0.5, silent: bool = False) -> list[Plan]:
        """One control step with a command, by default one that moves on from here."""
        self.monitor.measured(self.position, self.now)
        plans = self.monitor.watch(self.now, self.now)
        if not silent:
            points = moving(speed, self.position) if actions is None else actions
            plans += self.monitor.command(self.now + TIMES, points, self.now, self.now)
        self.now += DT
        if self.monitor._planners[0].known:
            self.position = self.monitor.setpoint(self.now)
        return plans

    def rest(self) -> None:
        """Time passes until a braked arm rests."""
        self.now += 500 * MS

    def follow(self, steps: int = 4, speed: float = 0.5) -> None:
        for _ in range(steps):
            self.step(speed=speed)
        assert not self.monitor.reason


@pytest.fixture
def arm() -> Arm:
    return Arm()


def test_only_the_beginning_goes_on_and_ends_at_rest(arm: Arm) -> None:
    plan, *_ = arm.step()
    assert plan.stamp == NOW and plan.times[-1] == NOW + 5 * DT
    assert (plan.speeds[-1] == 0).all()


@pytest.mark.parametrize("speed", [0.5, 5.0, -5.0])
def test_a_curve_never_leaves_the_limits_between_two_points(arm: Arm, speed: float) -> None:
    fastest = 0.0
    for _ in range(60):
        arm.step(speed=speed)
        positions, velocities = arm.monitor._planners[0]._followed.newest.sample(arm.now - np.arange(0, DT, 5 * MS))
        assert (positions >= LIMITS.low[:7] - 1e-6).all() and (positions <= LIMITS.high[:7] + 1e-6).all()
        assert (np.abs(velocities) <= 1.5 * LIMITS.velocity[:7] + 1e-6).all()
        fastest = max(fastest, float(np.abs(velocities[:, 0]).max()))
    assert fastest > 0.9 * min(abs(speed), LIMITS.velocity[0]), "and is no slower than asked for"


@pytest.mark.parametrize("speed", [0.0, 0.5])
def test_following_begins_without_a_leap_to_where_the_arm_is_measured(arm: Arm, speed: float) -> None:
    """A controller may follow what is a little elsewhere than the measured arm: it gets time to go from there."""
    plans = [plan for _ in range(2) for plan in arm.step(speed=speed)]
    assert plans and all(plan.times[0] - plan.stamp > 80 * MS for plan in plans)


def test_following_begins_slowly(arm: Arm) -> None:
    arm.step(speed=2.0)
    arm.step(speed=2.0)
    slow = abs(arm.position[0] - HOME[0]) / 0.1
    assert 0 < slow < 0.35 * LIMITS.velocity[0] and "velocity limit of panda_joint1" in arm.monitor.limited
    for _ in range(12):
        arm.step(speed=2.0)
    before = arm.position[0]
    arm.step(speed=2.0)
    assert (arm.position[0] - before) / 0.05 == pytest.approx(2.0, rel=0.02)


def test_silent_commands_brake_the_arm_and_it_goes_on_with_the_next(arm: Arm) -> None:
    arm.follow(8)
    assert all(arm.step(silent=True) == [] and not arm.monitor.reason for _ in range(3))
    assert arm.step(silent=True) and arm.monitor.reason == "commands are silent"
    before = arm.position[0]
    for _ in range(4):
        assert arm.step(silent=True) == [], "it is held once"
    assert 0 <= arm.position[0] - before < 0.06 and np.ptp([arm.position[0], before]) < 0.06
    arm.rest()
    arm.follow(2)


def test_a_command_that_changes_nothing_is_not_sent_again(arm: Arm) -> None:
    chunk = moving(0.2)
    arm.monitor.measured(HOME, NOW)
    sent = 0
    for i in range(8):
        arm.monitor.measured(arm.position, arm.now)
        sent += len(arm.monitor.command(NOW + TIMES[i:], chunk[i:], arm.now, arm.now))
        assert arm.monitor._planners[0]._followed.newest.times[-1] - arm.now >= 150 * MS, (
            "whoever listens is never out of points"
        )
        arm.now += DT
        arm.position = arm.monitor.setpoint(arm.now)
    assert sent < 16 and not arm.monitor.reason


@pytest.mark.parametrize("points", [1, 2, 3])
def test_a_command_may_be_as_short_as_one_set_point(arm: Arm, points: int) -> None:
    """So is the last of a chunk that is not renewed; each is too far to be reached in its time."""
    arm.follow(12)
    for after in range(0, 50, 7):
        arm.monitor.measured(arm.position, arm.now)
        times = arm.now + 150 * MS - after * MS + DT * np.arange(points)
        actions = np.tile(arm.position, (points, 1))
        actions[:, 0] += 0.5
        plans = arm.monitor.command(times, actions, arm.now, arm.now)
        assert not arm.monitor.reason and all(plan.points[-1, 0] < actions[-1, 0] for plan in plans)
        arm.now += 20 * MS
        arm.position = arm.monitor.setpoint(arm.now)


def test_silent_joints_brake_the_arm(arm: Arm) -> None:
    arm.follow()
    late = arm.now + 200 * MS
    assert arm.monitor.command(late + TIMES, moving(start=arm.position), late, late)
    assert arm.monitor.reason == "joint states are silent on joint_states"


def test_each_source_of_joints_has_a_watchdog_of_its_own() -> None:
    contract = load("aloha2")
    monitor, home = SafetyMonitor(contract), ((contract.limits.low + contract.limits.high) / 2).astype(float)
    times = contract.spec.dt_ns * np.arange(1, 11)
    left = [i for i, source in enumerate(contract.state) if "left" in source.topic]
    state = np.zeros(len(contract.spec.state))
    state[[contract.spec.state.index(name) for name in contract.spec.action]] = home
    monitor.measured(state, NOW)
    assert monitor.command(NOW + times, np.tile(home, (10, 1)), NOW, NOW) and not monitor.reason
    now = NOW + 160 * MS
    for i, part in enumerate(monitor._sources):
        if i not in left:
            monitor.measured_part(i, state[part], now)
    monitor.command(now + times, np.tile(home, (10, 1)), now, now)
    assert "silent" in monitor.reason and "left" in monitor.reason


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_no_number_latches_a_stop(arm: Arm, bad: float) -> None:
    arm.follow()
    actions = moving(start=arm.position)
    actions[9, 3] = bad
    assert arm.step(actions) and arm.monitor.reason.startswith("stopped")
    assert arm.step() == [] and arm.monitor.reason.startswith("stopped")
    assert arm.monitor.reset() is None
    arm.rest()
    arm.follow(1)


def test_a_command_of_another_shape_latches_a_stop(arm: Arm) -> None:
    arm.follow()
    arm.step(np.zeros((16, 7)))
    assert arm.monitor.reason == "stopped: set-points of shape (16, 7), expected (N, 8)"


@pytest.mark.parametrize("times", [NOW + TIMES[::-1], np.full(16, NOW + 10**12)])
def test_times_that_do_not_rise_are_held(arm: Arm, times: np.ndarray) -> None:
    arm.follow()
    assert arm.monitor.command(times, moving(), arm.now, arm.now) and "rise" in arm.monitor.reason


def test_a_command_that_is_over_is_held_and_of_one_that_is_late_the_rest_counts(arm: Arm) -> None:
    arm.follow()
    arm.monitor.measured(arm.position, arm.now)
    points = np.tile(arm.position, (16, 1))
    arm.monitor.command(arm.now + TIMES - 3 * DT, points, arm.now, arm.now)
    assert not arm.monitor.reason
    arm.monitor.command(arm.now + TIMES - 17 * DT, points, arm.now, arm.now)
    assert "ends in the past" in arm.monitor.reason


@pytest.mark.parametrize(("ahead", "refused"), [(0.2, False), (0.3, True), (3600.0, True)])
def test_a_command_whose_clock_is_ahead_is_held(arm: Arm, ahead: float, refused: bool) -> None:
    """Passed, it would lead the arm another way than is asked for, and for longer than `lookahead`."""
    arm.follow()
    later = round(ahead * 1e9) + DT  # of two steps, as where the loop comes to rest
    arm.monitor.measured(arm.position, arm.now)
    plans = arm.monitor.command(arm.now + later + TIMES, moving(start=arm.position), arm.now, arm.now)
    assert all(plan.times[-1] <= arm.now + 300 * MS for plan in plans)
    assert ("begins too far ahead" in arm.monitor.reason and "clocks" in arm.monitor.reason) == refused
    if refused:
        arm.rest()
    arm.follow()


def test_a_command_within_lookahead_is_never_too_far_ahead() -> None:
    monitor = SafetyMonitor(CONTRACT, lookahead_s=1.0)
    monitor.measured(HOME, NOW)
    monitor.command(NOW + 900 * MS + TIMES, moving(0.0), NOW, NOW)
    assert not monitor.reason


def test_an_estop_stays_through_a_reset_and_needs_one(arm: Arm) -> None:
    arm.follow(8)
    assert arm.monitor.estop(True, arm.now)
    assert "release" in str(arm.monitor.reset()) and arm.step() == []
    arm.monitor.estop(False, arm.now)
    assert arm.step() == [] and arm.monitor.reason == "stopped: e-stop"
    assert arm.monitor.reset() is None
    arm.rest()
    arm.follow(1)


def test_far_from_the_start_is_refused_until_it_is_near(arm: Arm) -> None:
    far = moving(start=HOME + 0.6 * np.eye(8)[1])
    assert arm.step(far) == [] and arm.monitor.reason.startswith("refused: panda_joint2")
    arm.position = HOME + 0.5 * np.eye(8)[1]
    assert arm.step(far)


@pytest.mark.parametrize("hold", ["silent", "refuse", "report", "stop"])
def test_wherever_following_begins_again_it_begins_at_the_measured_state(arm: Arm, hold: str) -> None:
    """Held for any reason, moved by hand, followed again: no point is far from where the arm is."""
    arm.follow(8)
    monitor = arm.monitor
    if hold == "silent":
        while not monitor.reason:
            arm.step(silent=True)
    elif hold == "refuse":
        monitor.refuse("a command that cannot be understood", arm.now)
    elif hold == "report":
        monitor.report("graph", "nobody listens", arm.now)
        monitor.report("graph", "", arm.now)
    else:
        monitor.stop("on request", arm.now)
        assert monitor.reset() is None
    moved = arm.position + 1.2 * np.eye(8)[0]
    arm.now += 10**9
    monitor.measured(moved, arm.now)
    plan, *_ = monitor.command(arm.now + TIMES, np.tile(moved, (16, 1)), arm.now, arm.now)
    assert not monitor.reason
    np.testing.assert_allclose(plan.points, np.tile(moved[:7], (len(plan.points), 1)), atol=1e-6)


def test_an_arm_that_does_not_follow_is_stopped_and_a_gripper_that_holds_something_is_not(arm: Arm) -> None:
    stuck, now, held = HOME.copy(), NOW, SafetyMonitor(CONTRACT)
    gripping = moving(0.0)
    for _ in range(60):
        arm.monitor.measured(stuck, now)
        arm.monitor.watch(now, now)
        arm.monitor.command(now + TIMES, moving(0.4, HOME + np.eye(8)[0] * 0.4 * (now - NOW) * 1e-9), now, now)
        held.measured(HOME, now)
        held.watch(now, now)
        gripping[:, 7] = max(0.0, HOME[7] - 0.01 * (now - NOW) // (10 * DT))
        held.command(now + TIMES, gripping, now, now)
        now += DT
        if arm.monitor.reason:
            break
    assert arm.monitor.reason.startswith("stopped: panda_joint1 does not follow: it is at 0.000, its set-point is 0.")
    assert now - NOW > 500 * MS and not held.reason


def test_a_fault_that_others_see_holds_as_long_as_it_lasts(arm: Arm) -> None:
    arm.follow(8)
    assert arm.monitor.report("graph", "two publishers on action_chunk: a, b", arm.now)
    assert arm.step() == [] and arm.monitor.reason.startswith("two publishers")
    assert arm.monitor.report("graph", "", arm.now) == []
    arm.rest()
    arm.follow(1)


def test_after_a_clock_set_back_following_begins_where_the_arm_is(arm: Arm) -> None:
    arm.follow()
    moved = HOME + 0.3 * np.eye(8)[0]
    arm.monitor.measured(moved, arm.now)
    assert arm.monitor.watch(0, arm.now) == [] and arm.monitor.reason == "the clock was set back"
    assert arm.monitor.command(TIMES, moving(2.0, moved), 0, arm.now) == [], "it goes to the end of what was sent"
    now, steady = 500 * MS, arm.now + 500 * MS
    arm.monitor.measured(moved, steady)
    plan, *_ = arm.monitor.command(now + TIMES, moving(2.0, moved), now, steady)
    assert 0 < plan.points[0, 0] - moved[0] < 0.12, "slowly again"


def test_a_schedule_and_the_monitor_agree_on_the_step_in_which_a_point_is_due(arm: Arm) -> None:
    schedule, now = Schedule(), NOW
    schedule.switch(1, 0)
    schedule.add(Chunk(now, DT, moving(0.2).astype(np.float32), 1), now)
    for i in range(10):
        arm.monitor.measured(arm.position, now)
        arm.monitor.command(*schedule.ahead(now), now, now)
        now += DT
        arm.position = arm.monitor.setpoint(now)
        if i > 1:
            np.testing.assert_allclose(arm.position[0], HOME[0] + 0.2 * (i + 1) * 0.05, atol=1e-5)


def test_what_nothing_measures_goes_on_from_where_it_was_braked() -> None:
    """A joint of which only commands are known, sent one by one: its commands pause at speed."""
    arm = {"topic": "arm/joint_trajectory", "joints": ["j1", "j2"]}
    limits = {"position_min": [-3.0, -3.0], "position_max": [3.0, 3.0], "velocity_max": [1.0, 1.0]}
    wrist = {"topic": "wrist/commands", "type": "std_msgs/msg/Float64MultiArray", "joints": ["wrist"], "initial": [0.0]}
    wrist |= {name: values[:1] for name, values in limits.items()}
    contract = small_robot.contract(
        state=[{"topic": "joint_states", "joints": ["j1", "j2"]}], action=[arm | limits, wrist]
    )
    monitor, sent, step = SafetyMonitor(contract), [0.0], 10 * MS
    for now in range(NOW, NOW + 2200 * MS, step):
        monitor.measured(np.array([0.0, 0.0, np.nan]), now)
        monitor.watch(now, now)
        if (now - NOW) % (50 * MS) == 0 and not 1000 * MS < now - NOW < 1600 * MS:
            points = np.zeros((16, 3))
            points[:, 2] = sent[-1] + 0.9 * TIMES * 1e-9
            monitor.command(now + TIMES, points, now, now)
        if monitor._planners[-1].known:
            sent.append(float(dict((c.topic, values) for c, values in monitor.streamed(now))["wrist/commands"][0]))
    assert sent[-1] > 1.2 and "commands are silent" in monitor.holds
    assert np.abs(np.diff(sent)).max() <= 1.0 * step * 1e-9 + 1e-9
