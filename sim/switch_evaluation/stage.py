"""An episode in which the instruction may change, written down step by step; and its twin, in which it does not."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from policy.running.session import Session
from sim.rollout import SimulatedLoop, until
from sim.switch_evaluation.methods import Method
from sim.tasks import HOLD, Task
from sim.world import RATE, World

DELAY = 100_000_000  # ns of the simulated clock that an inference takes
AFTER = 3 * RATE  # control steps that an undisturbed run is watched after its success
LATE = RATE  # a late switch comes this soon after the last contact
GAP = 6  # control steps: contacts this close are one, as a pushed thing bounces
COMPARED = RATE  # control steps of the undisturbed run that must follow a switch, to compare with
EARLIEST = 2  # control steps before the first switch


class Stage:
    """A policy at the controls, from its first instruction on; `watch(stage)` is called after every control step."""

    def __init__(
        self, world: World, session: Session, words: str, method: Method, watch: Callable[["Stage"], None] | None = None
    ) -> None:
        self.world, self.driver = world, SimulatedLoop(world, session, DELAY)
        self.said = [words]
        self.began = world.state()
        self.sent: list[np.ndarray] = []  # (A,) set-points after the guard
        self.answers: list[bool] = []  # whether that set-point answers what was said last
        self.contact: list[bool] = []
        self.modes = Counter[str]()  # what a switching policy was about since something was said last: steps
        self._method, self._watch = method, watch
        self._takeover: Iterator[bool] = iter(())
        self.driver.instruct(words)

    def say(self, words: str) -> None:
        """Change the instruction with the next control step."""
        self.said.append(words)
        self.modes = Counter()
        self._takeover = self._method(self.driver, words)

    def step(self) -> None:
        """One control step: the method's while it is at the controls, else the policy's."""
        answers = next(self._takeover, None)
        if answers is None:
            self.driver.step()
            answers = self.driver.answers
        self.answers.append(answers)
        self.sent.append(self.driver.command)
        self.contact.append(self.world.contact)
        estimate = self.driver.loop.estimate
        if estimate is not None and self.driver.answers:
            self.modes[estimate.mode] += 1
        if self._watch is not None:
            self._watch(self)


@dataclass(frozen=True, slots=True)
class Twin:
    """The same table and words without a switch: when something can be said, and what would have been sent."""

    sent: np.ndarray  # (T, A)
    contact: np.ndarray  # (T,) bool, after each control step
    askable: np.ndarray  # (T,) bool: after this control step the other instruction could be given
    held: int | None  # control steps until success had held, None where it did not

    @property
    def true(self) -> int | None:
        """Control steps until the success that held began."""
        return None if self.held is None else self.held - HOLD + 1

    def moments(self, phase: str) -> np.ndarray:
        """All switches of a phase, as the number of control steps before them.

        early: before the first contact; mid: in contact; late: within a second after the last contact, A done.
        """
        touching = np.flatnonzero(self.contact)
        end = self.held or len(self.contact) - AFTER
        if not (touching < end).any():
            return np.empty(0, int)
        last = touching[touching < end][-1]
        for step in touching[touching > last]:
            if step - last > GAP:
                break
            last = step
        late = np.arange(last + 2, min(last + 2 + LATE, len(self.contact) - COMPARED))
        steps = {
            "early": np.arange(EARLIEST, touching[0] + 1),
            "mid": touching[touching <= last] + 1,
            "late": late[~self.contact[late - 1]] if self.held else late[:0],
        }[phase]
        return steps[self.askable[steps - 1]]


def alone(stage: Stage, task: Task, may_ask: Callable[[], bool]) -> Twin:
    """Let the first instruction, `task`, be carried out; `may_ask`: whether now the other one could be given."""
    asked: list[bool] = []

    def step() -> None:
        stage.step()
        asked.append(may_ask())

    held = until(task, stage.world, step, task.steps)
    for _ in range(AFTER):
        step()
    return Twin(np.array(stage.sent), np.array(stage.contact), np.array(asked), held)
