"""Where following begins again: once the arm rests, and wherever it is; through a real controller, in milliseconds."""

from collections.abc import Callable

import numpy as np
import pytest

from policy.robot.contract import Contract, load
from policy.robot.trajectory_controller import TrajectoryController
from policy.running.plan import Plan
from policy.running.safety import SafetyMonitor

MS = 10**6
HOME = np.array([0, -0.3, 0, -2.2, 0, 2.0, 0.8, 0.08])
LAG = 100  # ms that the measured state lags behind the controller


class Rig:
    """A monitor before the controllers of a contract, in steps of 1 ms; `measured` changes what is measured."""

    def __init__(self, contract: Contract, start: np.ndarray, lookahead_s: float = 0.25, lag: int = LAG) -> None:
        self.contract, self.now, self.lag = contract, 10**9, lag
        self.monitor = SafetyMonitor(contract, lookahead_s=lookahead_s)
        self.controllers = {
            c.topic: TrajectoryController(c.joints, start[c.columns] * c.scale + c.offset, self.now)
            for c in contract.controllers
        }
        self.path = [start]
        self.measured: Callable[[np.ndarray], np.ndarray] = lambda positions: positions

    def step(self, actions: np.ndarray | None = None) -> None:
        """A millisecond; with `actions` (16, A), one every 50 ms from then on, a command."""
        self.now += MS
        at = [(self.controllers[c.topic].at(self.now) - c.offset) / c.scale for c in self.contract.controllers]
        self.path.append(np.concatenate(at))
        if len(self.path) % 10 == 0:
            seen = self.path[max(0, len(self.path) - 1 - self.lag)]
            self.monitor.measured(self.measured(seen), self.now)
            self.send(self.monitor.watch(self.now, self.now))
        if actions is not None:
            times = self.now + 50 * MS * np.arange(1, 17)
            self.send(self.monitor.command(times, actions, self.now, self.now))

    def send(self, plans: list[Plan]) -> None:
        for plan in plans:
            points, speeds = plan.in_robot_units()
            taker = self.controllers[plan.controller.topic]
            refused = taker.command(
                list(plan.controller.joints), plan.times - plan.stamp, points, speeds, plan.stamp, self.now
            )
            assert refused is None, refused

    def run(self, milliseconds: int, actions: Callable[[float], np.ndarray]) -> np.ndarray:
        """Follow `actions` of a time [s]; the velocities (N, A) of the controllers."""
        begin = len(self.path)
        for k in range(milliseconds):
            self.step(np.asarray(actions(k * 1e-3)) if k % 50 == 0 else None)
        return np.diff(np.array(self.path[begin - 1 :]), axis=0) / 1e-3


def turning(speed: float, start: float = 0.0) -> Callable[[float], np.ndarray]:
    """The first joint at some speed."""

    def actions(t: float) -> np.ndarray:
        points = np.tile(HOME, (16, 1))
        points[:, 0] = start + speed * (t + 0.05 * np.arange(1, 17))
        return points

    return actions


@pytest.mark.parametrize("pause", [0, 20, 300])
@pytest.mark.parametrize("how", ["refused", "clock"])
def test_an_arm_that_is_held_while_it_moves_does_not_turn_back(pause: int, how: str) -> None:
    rig = Rig(load("tabletop"), HOME)
    assert rig.run(1000, turning(1.5))[-1, 0] == pytest.approx(1.5, rel=0.05)
    if how == "refused":
        rig.send(rig.monitor.refuse("control goes to a person", rig.now))
    else:
        rig.now -= 2 * MS
        rig.send(rig.monitor.watch(rig.now, rig.now))
    stay = np.tile(rig.path[-1 - LAG], (16, 1))  # where it is measured now
    held = len(rig.path) + 10
    for _ in range(pause):
        rig.step()
    rig.run(1200, lambda _: stay)
    velocities = np.diff(np.array(rig.path[held:])[:, 0]) / 1e-3
    back = int(np.argmax(velocities < -0.05))
    assert back > 50 and np.abs(velocities[back - 50 : back]).max() < 0.06, "it rests before it goes back"
    assert np.abs(velocities).max() < rig.contract.limits.velocity[0] and not rig.monitor.reason
    assert rig.path[-1][0] == pytest.approx(stay[0, 0], abs=1e-3), "and goes where it is asked to, slowly"


@pytest.mark.parametrize("beyond", [0.05, 0.3])
def test_an_arm_beyond_its_limits_comes_in_slowly(beyond: float) -> None:
    contract = load("tabletop")
    start, goal = HOME.copy(), HOME.copy()
    start[5], goal[5] = contract.limits.high[5] + beyond, contract.limits.high[5]
    rig = Rig(contract, start, lag=0)
    velocities = rig.run(1500, lambda _: np.tile(goal, (16, 1)))[:, 5]
    assert np.abs(velocities).max() < contract.limits.velocity[5], "through the ramp, and within the limit"
    assert not rig.monitor.reason and rig.path[-1][5] == pytest.approx(goal[5], abs=1e-3)


@pytest.mark.parametrize("thing", [0.6, 1.2])
def test_a_gripper_holds_what_it_holds_through_a_hold(thing: float) -> None:
    """The jaw is commanded shut and measured where the thing is: after a silence it goes on to press."""
    contract = load("so101")
    jaw = int(np.flatnonzero(contract.grippers)[0])
    start = ((contract.limits.low + contract.limits.high) / 2).astype(float)
    start[jaw] = 1.5
    rig = Rig(contract, start, lag=0)
    rig.measured = lambda at: np.where(contract.grippers, np.maximum(at, thing), at)

    def closing(t: float) -> np.ndarray:
        points = np.tile(start, (16, 1))
        points[:, jaw] = np.clip(1.5 - 2.5 * (t + 0.05 * np.arange(1, 17)), 0, None)
        return points

    rig.run(1500, closing)
    for _ in range(1000):
        rig.step()
    assert rig.monitor.reason == "commands are silent" and rig.path[-1][jaw] < 0.05
    begin = len(rig.path)
    rig.run(1000, lambda _: closing(1.5))
    assert not rig.monitor.reason and max(at[jaw] for at in rig.path[begin:]) < 0.1


@pytest.mark.parametrize("lookahead", [0.02, 0.08, 0.25])
def test_however_little_goes_on_the_arm_follows(lookahead: float) -> None:
    rig = Rig(load("tabletop"), HOME, lookahead)
    rig.run(2000, turning(0.3))
    assert rig.path[-1][0] == pytest.approx(0.6, abs=0.06) and not rig.monitor.reason
