"""The road of the robot on the simulated clock: frame -> chunk -> schedule -> guard -> world."""

from collections.abc import Callable
from dataclasses import dataclass

from policy.runtime import Runtime
from policy.safety import Guard
from policy.schedule import Schedule
from sim.start import HOLD
from sim.tasks import Task
from sim.world import World

EXECUTE = 8  # actions executed of each chunk before a new one is asked for (receding horizon)
Watch = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one instruction went."""

    success: bool
    steps: int                      # control steps taken
    interventions: dict[str, int]   # reason of the guard -> control steps


class Driver:
    """A policy at the controls of a world; instructions may change while it drives."""

    def __init__(self, world: World, runtime: Runtime) -> None:
        self.world, self.runtime = world, runtime
        self.interventions: dict[str, int] = {}
        self._schedule = Schedule()
        self._guard = Guard(runtime.contract)
        self._left = 0  # control steps until the next inference

    def instruct(self, text: str) -> None:
        """Change the instruction now: the next step infers, and nothing of the old one is executed."""
        self._schedule.switch(self.runtime.instruct(text), self.world.time_ns)
        self._left = 0
        self.interventions = {}

    def step(self) -> None:
        """One control step; a frame is rendered only where one is inferred from."""
        if self._left == 0:
            self._schedule.add(self.runtime.infer(self.world.frame()))
            self._left = EXECUTE
        self._left -= 1
        now = self.world.time_ns
        # The step that begins now ends one dt later: it works towards the set-point of that time.
        target = self._schedule.at(now + self.runtime.spec.dt_ns)
        command, reason = self._guard.check(target, self.world.state(), now)
        if reason is not None:
            self.interventions[reason] = self.interventions.get(reason, 0) + 1
        self.world.step(command)

    def perform(self, text: str, task: Task, watch: Watch | None = None) -> Outcome:
        """Follow one instruction until `task` has been true for HOLD steps, or its time is over."""
        self.instruct(text)
        held = 0
        for done in range(1, task.steps + 1):
            self.step()
            if watch is not None:
                watch()
            held = held + 1 if task.success(self.world) else 0
            if held == HOLD:
                return Outcome(True, done, self.interventions)
        return Outcome(False, task.steps, self.interventions)
