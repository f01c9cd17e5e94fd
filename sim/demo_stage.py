"""The stage of the demo: a world with a policy in control and a camera that films it."""

from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.markup import escape

from policy.running.session import Session
from sim.rollout import SimulatedLoop
from sim.taught_tasks import sentences
from sim.video import RATE, Video
from sim.worlds.interface import Task, World

SIZE = (480, 640)  # height, width of the film
LINGER = RATE // 2  # frames for which the outcome stays on the film
UNJUDGED_STEPS = 240  # how long an instruction is followed that means no known task
INTERRUPTED = "interrupted with an object in the hand"
OUTCOMES = {True: "done", False: "not done in time", None: "followed, not judged"}
COLOURS = {True: "green", False: "red", None: "yellow"}


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction of the demo and its outcome; success is None where it is not judged."""

    instruction: str
    task: str | None
    success: bool | None
    seconds: float
    outcome: str
    refused: bool = False


def after(step: Step) -> str:
    """How long it took; a refusal takes no time."""
    return "" if step.refused else f" after {step.seconds:.1f} s"


class DemoStage:
    """Executes instructions, one after the other, films them and prints their outcomes."""

    def __init__(self, world: World, session: Session, film: Video, console: Console, seed: int) -> None:
        self._world, self._film, self._console = world, film, console
        self._robot = SimulatedLoop(world, session, seed=seed)

    def sentence(self, task: Task, rng: np.random.Generator) -> str:
        """A sentence for a task, as the policy was taught it."""
        known = sentences(task, self._robot.session)
        return known[rng.integers(len(known))]

    def perform(self, instruction: str, task: Task | None, number: str) -> Step:
        """Follow one instruction until its task is done, it is refused or its time is up (no task: UNJUDGED_STEPS)."""
        began, title, held, success = self._world.time_ns, f"{number} {instruction}", 0, False
        with self._console.status(f"{number} [bold]{escape(instruction)}[/]"):
            self._robot.instruct(instruction)
            for _ in range(task.steps if task is not None else UNJUDGED_STEPS):
                self._robot.step()
                self._shoot(title)
                held = held + 1 if task is not None and task.success(self._world) else 0
                success = held == self._world.success_steps
                if success or self._robot.refused:
                    break
        refused = self._robot.refused
        outcome = f"refused: {refused}" if refused else OUTCOMES[None if task is None else success]
        for _ in range(LINGER):
            self._shoot(f"{title}: {'refused' if refused else outcome}")
        judged = None if task is None and not refused else success
        name = task.name if task else None
        return self._print(Step(instruction, name, judged, self._since(began), outcome, bool(refused)), number)

    def interrupt(self, instruction: str, task: Task, number: str, after: int) -> Step:
        """Follow one instruction until the hand has been in contact for `after` control steps, or the task is done."""
        began, contact_steps = self._world.time_ns, 0
        self._robot.instruct(instruction)
        for _ in range(task.steps):
            self._robot.step()
            self._shoot(f"{number} {instruction}")
            contact_steps += self._robot.loop.tracker.in_contact
            if contact_steps > after or task.success(self._world):
                break
        success = True if task.success(self._world) else None if contact_steps > after else False
        outcome = INTERRUPTED if success is None else OUTCOMES[success]
        return self._print(Step(instruction, task.name, success, self._since(began), outcome), number)

    def _since(self, began: int) -> float:
        """Seconds of the simulated clock."""
        return (self._world.time_ns - began) / 1e9

    def _print(self, step: Step, number: str) -> Step:
        self._console.print(
            f"  {number} {escape(step.instruction)}: [{COLOURS[step.success]}]{escape(step.outcome)}[/]{after(step)}",
            soft_wrap=True,
        )
        return step

    def _shoot(self, text: str) -> None:
        estimate = self._robot.loop.estimate
        if estimate is not None:
            contact = ", in contact" if self._robot.loop.tracker.in_contact else ""
            text += f" [{estimate.mode}{contact}]"
        self._film.add(self._world.render(self._world.show_camera, *SIZE), text)
