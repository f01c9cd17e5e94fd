"""Seeded runs of random driver faults against the real stack, over DDS, in processes of their own.

    python -m tests.fault_runs --runs 100          prints a line a run, and the worst of all at the end

Messages of sensors and commands are dropped (a fifth of them) and delayed by up to 50 ms, commands in their order, as
DDS keeps it (tests/test_plan.py has those that overtake each other); those of sensors are duplicated, too; stamps
step; policy node and safety node are paused; the arm is moved by hand while it is held. The controllers' set-points
are sampled each ms. Of each plan and its copies one is promised to arrive within 60 ms: what follows one that came
later, or that this machine lost, is not judged; how many seconds are is printed.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections import Counter, deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults_stand import Stand
from tests.ros_tiny import Robot
from tests.tiny import write_model

# isort: split
from std_srvs.srv import Trigger

from policy.running.followed import ON_THE_WAY
from ros_nodes import bridge
from ros_nodes.executor_thread import in_executor

MS = 1_000_000
SECONDS = 8.0
KINDS = ("drop", "delay", "duplicate", "pause_policy", "pause_safety", "hand", "step")
LATE = 0.05  # s, at most: the rest of what is promised is this machine's
UNJUDGED = 300 * MS  # after a plan that came too late, or was due and never came: until such plans are over


@dataclass
class Worst:
    """The worst of a run: beyond a position limit [rad, m], times the velocity limit at an instant and over 50 ms."""

    beyond: float = -np.inf
    instant: float = 0.0
    mean: float = 0.0


class FaultyRobot(Robot):
    """A robot whose driver loses, delays and repeats messages, and whose controllers are sampled each millisecond."""

    def __init__(self, context: Any, seed: int = 0, **options: Any) -> None:
        self.rng, self.faults = np.random.default_rng(seed), set[str]()
        # runs of set-points (A,) and their ns, one each ms; a move by hand ends one
        self.samples: list[list[tuple[int, np.ndarray]]] = [[]]
        self._sampled: int | None = None
        # of each plan, by topic and stamp: messages that were sent and that were read, and ns when one was there
        self._sent, self._read = Counter[tuple[str, int]](), Counter[tuple[str, int]]()
        self._arrived: dict[tuple[str, int], int] = {}
        self._busy_until = 0.0  # monotonic s, when the last command on its way arrives
        self._on_the_way = deque[tuple[float, str, Any]]()  # when it arrives, topic and command
        super().__init__(context, **options)
        kind = bridge.message_class("trajectory_msgs/msg/JointTrajectory")
        for topic in self.controllers:  # all of them, also those that are replaced in the controller's queue
            self.create_subscription(kind, topic, partial(self._note, topic), 1000)

    def _note(self, topic: str, message: Any) -> None:
        self._sent[topic, bridge.nanoseconds(message.header.stamp)] += 1

    def sample(self, now: int) -> None:
        """Set-points up to now, of the trajectories that were followed until now."""
        at = self._sampled if self._sampled is not None else now
        while at < now:
            at += MS
            point = self.contract.join([(topic, c.joints, c.at(at)) for topic, c in self.controllers.items()])
            self.samples[-1].append((at, point))
        self._sampled = at

    def judged(self) -> list[np.ndarray]:
        """The runs of set-points (N, A), one each ms, in which this machine brought the commands in time.

        A plan that came to nothing counts where all its messages were read, and dropped by the fault.
        """
        spans = []
        for plan, sent in self._sent.items():
            stamp, arrived = plan[1], self._arrived.get(plan)
            if arrived - stamp > ON_THE_WAY if arrived is not None else self._read[plan] < sent:
                spans.append((stamp, (arrived or stamp + ON_THE_WAY) + UNJUDGED))
        runs: list[list[np.ndarray]] = []
        for run in self.samples:
            runs.append([])
            for at, point in run:
                if not any(begin <= at <= end for begin, end in spans):
                    runs[-1].append(point)
                elif runs[-1]:
                    runs.append([])
        return [np.array(run) for run in runs if run]

    def move_by_hand(self, by: float) -> None:
        """The first joint is elsewhere, and the controllers stand there."""
        now = self._now()
        self.sample(now)
        limits, moved = self.contract.limits, self.action.copy()
        moved[0] = np.clip(moved[0] + by, limits.low[0] + 0.1, limits.high[0] - 0.1)
        for topic, _, position in self.contract.split(moved):
            self.controllers[topic].hold(position, now)
        self.samples.append([])

    def _command(self, topic: str, message: Any) -> None:
        self._read[topic, bridge.nanoseconds(message.header.stamp)] += 1
        for delay in self._delays()[:1]:
            self._busy_until = max(time.monotonic() + delay, self._busy_until)
            self._on_the_way.append((self._busy_until, topic, message))
            self._after(max(0.0, self._busy_until - time.monotonic()), self._arrive)

    def _arrive(self) -> None:
        """Follow what is due, in its order, whichever timer or message this machine comes to first."""
        while self._on_the_way and self._on_the_way[0][0] <= time.monotonic() + 1e-3:
            _, topic, message = self._on_the_way.popleft()
            self._follow(topic, message)

    def _follow(self, topic: str, message: Any) -> None:
        now, plan = self._now(), (topic, bridge.nanoseconds(message.header.stamp))
        self.sample(now)  # up to the very instant at which another curve begins
        self._arrived.setdefault(plan, now)
        self._obey(topic, message, now)

    def _say(self, topic: str, message: Any) -> None:
        for delay in self._delays():
            self._after(delay, lambda: super(FaultyRobot, self)._say(topic, message))

    def _feel(self) -> None:
        self.sample(self._now())
        super()._feel()

    def _delays(self) -> list[float]:
        """When a message arrives, in s from now: never, once or twice."""
        if "drop" in self.faults and self.rng.random() < 0.2:
            return []
        delays = [float(self.rng.uniform(0, LATE)) if "delay" in self.faults else 0.0]
        return delays + (
            [float(self.rng.uniform(0, LATE))] if "duplicate" in self.faults and self.rng.random() < 0.2 else []
        )

    def _after(self, delay: float, act: Any) -> None:
        if delay == 0.0:
            act()
            return

        def once() -> None:
            self.destroy_timer(timer)
            act()

        timer = self.create_timer(delay, once, clock=bridge.STEADY)


def worst(robot: FaultyRobot) -> Worst:
    """Of all that was sampled."""
    found, limits = Worst(), robot.contract.limits
    for points in robot.judged():
        if len(points) > 51:
            found.beyond = max(found.beyond, float(np.maximum(points - limits.high, limits.low - points).max()))
            found.instant = max(found.instant, float((np.abs(np.diff(points, axis=0)) * 1e3 / limits.velocity).max()))
            found.mean = max(found.mean, float((np.abs(points[50:] - points[:-50]) * 20 / limits.velocity).max()))
    return found


def run(model: Path, seed: int, seconds: float = SECONDS) -> tuple[Worst, list[str], float]:
    """One run: faults come and go at random; returns the worst, what happened, and how many s were judged."""
    rng, happened = np.random.default_rng([seed, 1]), list[str]()
    stand = Stand(model, inside=(), robot=partial(FaultyRobot, seed=seed))
    robot, processes = stand.robot, {}
    try:
        for name in ("safety_node", "policy_node"):
            processes[name] = stand.stage.start(name, **stand.parameters[name])
        stand.instruct("open the drawer")
        stand.moves()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            kind = str(rng.choice(KINDS))
            happened.append(kind)
            lasts = float(rng.uniform(0.2, 1.0))
            if kind in ("drop", "delay", "duplicate"):
                robot.faults.add(kind)
                time.sleep(lasts)
                robot.faults.discard(kind)
            elif kind.startswith("pause"):
                process = processes["policy_node" if kind == "pause_policy" else "safety_node"]
                os.kill(process.pid, signal.SIGSTOP)
                time.sleep(lasts)
                os.kill(process.pid, signal.SIGCONT)
            elif kind == "step":
                robot.lag = float(rng.uniform(-0.1, 0.1))
                time.sleep(lasts)
                robot.lag = 0.0
            else:  # only an arm that is held can be moved: its drives are off, or nobody commands it
                robot.mute |= set(robot.contract.observed)
                time.sleep(0.8)
                by = float(rng.uniform(-0.8, 0.8))
                in_executor(robot, partial(robot.move_by_hand, by))  # which samples, too: two at once mix the instants
                robot.mute.clear()
            time.sleep(float(rng.uniform(0.0, 0.4)))
        robot.faults.clear()
        stand.stage.ears.call("safety_node/stop", Trigger)
        stand.rests()
        return worst(robot), happened, sum(map(len, robot.judged())) * 1e-3
    finally:
        for process in processes.values():
            os.kill(process.pid, signal.SIGCONT)
        stand.stage.close()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault_runs", description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    worst_of_all = Worst()
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder) / "tiny", ramp=0.01)
        for seed in range(arguments.seed, arguments.seed + arguments.runs):
            found, happened, judged = run(Path(folder) / "tiny", seed)
            figures = f"{found.beyond:+.5f}, {found.instant:.2f} x at an instant, {found.mean:.2f} x over 50 ms"
            print(f"{seed:4} beyond {figures}: {', '.join(happened)}; {judged:.1f} s judged", flush=True)
            worst_of_all = Worst(
                *(max(a, b) for a, b in zip(vars(worst_of_all).values(), vars(found).values(), strict=True))
            )
    print(f"worst of {arguments.runs} runs: {worst_of_all}")


if __name__ == "__main__":
    sys.exit(main())
