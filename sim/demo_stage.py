"""The stage of the demo: a world with a policy in control and a camera that films it."""

from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape

from policy.running.session import Session
from sim.rollout import SimulatedLoop
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


class DemoStage:
    """Executes instructions, one after the other, films them and prints their outcomes."""

    def __init__(self, world: World, session: Session, film: Video, console: Console) -> None:
        self._world, self._film, self._console = world, film, console
        self._robot = SimulatedLoop(world, session)

    def perform(self, instruction: str, task: Task | None, number: str) -> Step:
        """Follow one instruction until its task is done or its time is up; without a task for UNJUDGED_STEPS."""
        began, title = self._world.time_ns, f"{number} {instruction}"
        success: bool | None = None
        with self._console.status(f"{number} [bold]{escape(instruction)}[/]"):
            if task is None:
                self._robot.instruct(instruction)
                for _ in range(UNJUDGED_STEPS):
                    self._robot.step()
                    self._shoot(title)
            else:
                success = self._robot.perform(instruction, task, lambda: self._shoot(title)).success
        outcome = f"refused: {self._robot.refused}" if self._robot.refused else OUTCOMES[success]
        for _ in range(LINGER):
            self._shoot(f"{title}: {outcome}")
        return self._print(Step(instruction, task.name if task else None, success, self._since(began), outcome), number)

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
            f"  {number} {escape(step.instruction)}: "
            f"[{COLOURS[step.success]}]{escape(step.outcome)}[/] after {step.seconds:.1f} s",
            soft_wrap=True,
        )
        return step

    def _shoot(self, text: str) -> None:
        estimate = self._robot.loop.estimate
        if estimate is not None:
            contact = ", in contact" if self._robot.loop.tracker.in_contact else ""
            text += f" [{estimate.mode}{contact}]"
        self._film.add(self._world.render(self._world.show_camera, *SIZE), text)
