"""The road of the robot on the simulated clock: frame -> chunk -> schedule -> guard -> world."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from policy.errors import InputError
from policy.running.safety import Guard
from policy.running.schedule import Schedule
from policy.running.session import Session
from policy.spec import Chunk
from sim.tasks import HOLD, Task
from sim.world import World

EXECUTE = 8  # actions executed of each chunk before a new one is asked for (receding horizon)
Watch = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one instruction went."""

    success: bool
    steps: int  # control steps taken
    interventions: dict[str, int]  # reason of the guard -> control steps


class Driver:
    """A policy at the controls of a world; instructions may change while it drives.

    An inference takes `delay_ns` of the simulated clock, in whole control steps; meanwhile the former chunk goes on.
    As on the robot there is one at a time, and it cannot be broken off.
    """

    def __init__(self, world: World, session: Session, delay_ns: int = 0) -> None:
        session.reset()
        self.world, self.session = world, session
        self.interventions: dict[str, int] = {}
        self.refused = ""  # why the policy did not take the newest instruction
        self.command = np.empty(0)  # (A,) the set-point sent last
        self.newest: Chunk | None = None  # inferred last
        self.served = 0  # id of the instruction that the newest scheduled chunk serves
        self._dt = session.spec.dt_ns
        self._delay = -(-delay_ns // self._dt) * self._dt
        self._schedule = Schedule()
        self._guard = Guard(session.contract)
        self._flying: deque[Chunk] = deque()  # inferred, and not there yet
        self._free = 0  # ns, when the next inference can begin
        self._left = 0  # control steps until the next inference

    def instruct(self, text: str) -> None:
        """Change the instruction now: it is inferred from at once, and the old chunk goes on only until then.

        One that the policy does not take is told by `refused`; the arm is held, unless the old one is still in force.
        """
        self.interventions, self.refused = {}, ""
        try:
            begin = max(self.world.time_ns, self._free)
            self._schedule.switch(self.session.instruct(text), begin + self._delay)
            self._left = 0
        except InputError as error:
            self.refused = str(error)
            if not self.session.text:
                self.drop()

    def step(self) -> None:
        """One control step; a frame is rendered only where one is inferred from."""
        now = self.world.time_ns
        if self._left <= 0 and self._free <= now and self.session.text:
            self.newest = self.session.infer(self.world.frame())
            self._flying.append(self.newest)
            self._free = now + self._delay
            self._left = EXECUTE
        self._left -= 1
        while self._flying and self._flying[0].stamp + self._delay <= now:
            chunk = self._flying.popleft()
            if self._schedule.add(chunk):
                self.served = chunk.instruction
        self.coast()

    def coast(self) -> None:
        """One control step on what is scheduled already."""
        # The step that begins now ends one dt later: it works towards the set-point of that time.
        self.send(self._schedule.at(self.world.time_ns + self._dt))

    def send(self, target: np.ndarray | None) -> None:
        """One control step towards a set-point (A,), through the guard; None holds."""
        self.command, reason = self._guard.check(target, self.world.state(), self.world.time_ns)
        if reason is not None:
            self.interventions[reason] = self.interventions.get(reason, 0) + 1
        self.world.step(self.command)

    @property
    def scheduled(self) -> bool:
        """Something is still to come."""
        return len(self._schedule.ahead(self.world.time_ns)[0]) > 0

    def drop(self) -> None:
        """Forget what is scheduled and what is being inferred: the arm is held until the next chunk."""
        self._schedule.clear()
        self._flying.clear()

    def perform(self, text: str, task: Task, watch: Watch | None = None) -> Outcome:
        """Follow one instruction until `task` has been true for HOLD steps, or its time is over."""

        def step() -> None:
            self.step()
            if watch is not None:
                watch()

        self.instruct(text)
        took = until(task, self.world, step, task.steps)
        return Outcome(took is not None, took or task.steps, self.interventions)


def until(task: Task, world: World, step: Callable[[], None], most: int) -> int | None:
    """Call `step` until `task` has been true for HOLD steps; how often that was, None where `most` was too few."""
    held = 0
    for done in range(1, most + 1):
        step()
        held = held + 1 if task.success(world) else 0
        if held == HOLD:
            return done
    return None
