"""`make demo`: the shipped policy changes its mind with something in its hand, and resumes; or it does what you say.

A film and a page remain. A policy that does not switch does five things in a row.
"""

import argparse
import html
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from time import monotonic

import numpy as np
from rich.console import Console
from rich.markup import escape

from policy.errors import InputError, exit_code
from policy.running.session import Session
from policy.running.text import Text
from sim import headless
from sim import html_page as page
from sim.episodes import CHAIN
from sim.rollout import Driver
from sim.tasks import TASKS, Task
from sim.video import RATE, Video
from sim.world import World

SIZE = (480, 640)  # height, width of the film
CLOSE = 0.6  # cosine from which a sentence is taken to mean a task
JUDGES = 6  # phrasings of each task that a free sentence is compared with: 20 ms each
LINGER = RATE // 2  # frames the verdict stays on the film
UNJUDGED_STEPS = 240  # how long a sentence is followed that means no task we can judge
EXAMPLES = '"put the red block in the bowl", "open the drawer", "turn on the lamp"'


BROKEN_OFF = "broken off with something in the hand"
VERDICTS = {True: "done", False: "not done, gave up", None: "followed, judged by nobody"}


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction of the demo and what became of it; success None where nothing can judge it."""

    instruction: str
    task: str | None
    success: bool | None
    seconds: float
    verdict: str


class Stage:
    """The world with a policy at its controls and a camera on it."""

    def __init__(self, world: World, session: Session, film: Video, console: Console) -> None:
        self._world, self._film, self._console = world, film, console
        self._driver = Driver(world, session)

    def perform(self, instruction: str, task: Task | None, number: str) -> Step:
        """Follow one instruction, filmed and told."""
        began = self._world.time_ns
        with self._console.status(f"{number} [bold]{escape(instruction)}[/]"):
            success: bool | None
            if task is None:
                self._driver.instruct(instruction)
                for _ in range(UNJUDGED_STEPS):
                    self._driver.step()
                    self._shoot(f"{number} {instruction}")
                success = None
            else:
                outcome = self._driver.perform(instruction, task, lambda: self._shoot(f"{number} {instruction}"))
                success = outcome.success
        verdict = f"refused: {self._driver.refused}" if self._driver.refused else VERDICTS[success]
        for _ in range(LINGER):
            self._shoot(f"{number} {instruction}: {verdict}")
        return self._tell(
            Step(instruction, task.name if task else None, success, (self._world.time_ns - began) / 1e9, verdict),
            number,
        )

    def break_off(self, instruction: str, task: Task, number: str, after: int) -> Step:
        """Follow one instruction until the hand has held something for `after` steps, or it is done."""
        began, held = self._world.time_ns, 0
        self._driver.instruct(instruction)
        for _ in range(task.steps):
            self._driver.step()
            self._shoot(f"{number} {instruction}")
            held += self._driver.session.touching
            if held > after or task.success(self._world):
                break
        success = True if task.success(self._world) else None if held > after else False
        verdict = BROKEN_OFF if success is None else VERDICTS[success]
        return self._tell(Step(instruction, task.name, success, (self._world.time_ns - began) / 1e9, verdict), number)

    def _tell(self, step: Step, number: str) -> Step:
        colour = {True: "green", False: "red", None: "yellow"}[step.success]
        self._console.print(
            f"  {number} {escape(step.instruction)}: [{colour}]{escape(step.verdict)}[/] after {step.seconds:.1f} s",
            soft_wrap=True,
        )
        return step

    def _shoot(self, text: str) -> None:
        told = self._driver.newest.execution_estimate if self._driver.newest is not None else None
        if told is not None:
            text += f" [{told.mode}{', in contact' if self._driver.session.touching else ''}]"
        self._film.add(self._world.render("show", *SIZE), text)


def change_of_mind(stage: Stage, world: World, seed: int) -> list[Step]:
    """A is broken off mid-grasp, B is done, and "continue" finishes A; tasks, words and moment drawn by the seed."""
    rng = np.random.default_rng([seed, 1])
    held, others = _held_and_others(world)
    a, b = held[rng.integers(len(held))], others[rng.integers(len(others))]
    first, second = (t.phrasings[rng.integers(len(t.phrasings))] for t in (a, b))
    return [
        stage.break_off(first, a, "1/3", int(rng.integers(6, 20))),
        stage.perform(second, b, "2/3"),
        stage.perform("continue", a, "3/3"),
    ]


def _held_and_others(world: World) -> tuple[list[Task], list[Task]]:
    """What can be done now: the tasks that take something into the hand, and the others."""
    possible = [t for t in TASKS.values() if t.possible(world)]
    held = [t for t in possible if t.kind in ("put", "stack")]
    return held, [t for t in possible if t not in held]


def five(stage: Stage, world: World, seed: int) -> list[Step]:
    """Five instructions in a row in one scene, each of another task, drawn by the seed."""
    rng = np.random.default_rng([seed, 1])
    steps: list[Step] = []
    for i in range(CHAIN):
        possible = [t for t in TASKS.values() if t.possible(world)]
        fresh = [t for t in possible if t.name not in {s.task for s in steps}] or possible
        task = fresh[rng.integers(len(fresh))]
        instruction = task.phrasings[rng.integers(len(task.phrasings))]
        steps.append(stage.perform(instruction, task, f"{i + 1}/{CHAIN}"))
    return steps


def nearest_task(sentence: str) -> tuple[Task, str, float]:
    """The task whose phrasing is nearest in meaning, that phrasing, and how near (cosine)."""
    known = [(task, words) for task in TASKS.values() for words in task.phrasings[:JUDGES]]
    embedded = Text().embed([sentence, *(words for _, words in known)])
    embedded = embedded / np.linalg.norm(embedded, axis=1, keepdims=True)
    cosine = embedded[1:] @ embedded[0]
    best = int(np.argmax(cosine))
    return *known[best], float(cosine[best])


def lay_out(world: World, seed: int | None, task: Task | None) -> int:
    """Reset the world, and return the seed: the one given, or a new one whose scene allows `task`, or the demo."""
    while True:
        tried = seed if seed is not None else SystemRandom().randrange(1_000_000, 10_000_000)
        world.reset(np.random.default_rng(tried))
        if task.possible(world) if task is not None else all(_held_and_others(world)):
            return tried
        if seed is not None:
            what = task.name if task is not None else "what the demo shows"
            raise InputError(
                f"in the scene of seed {seed}, {what} is already done or cannot be done; "
                "leave SEED out, or take another one"
            )


def main() -> None:
    """Perform, narrate, write film and page."""
    began = monotonic()
    parser = argparse.ArgumentParser(prog="python -m sim.demo", description=__doc__)
    parser.add_argument("--say", help="an instruction of your own in place of the five")
    parser.add_argument("--seed", type=int, help="the scene of an earlier run")
    parser.add_argument("--model", default="models/tabletop")
    parser.add_argument("--out", default="out/demo")
    args = parser.parse_args()
    if args.say is not None and not args.say.strip():
        raise InputError(f"SAY is empty; expected an instruction such as {EXAMPLES}")
    headless.require()
    console = Console(highlight=False)
    session, world, out = Session(args.model, threads=2), World(), Path(args.out)
    console.print(f"midstream: {args.model} on {session.provider}, two cameras, {len(TASKS)} tasks")
    judge = None
    if args.say is not None:
        task, words, near = nearest_task(args.say)
        judge = task if near >= CLOSE else None
        nearest = f'nearest known phrasing: "{words}", cosine {near:.2f}'
        console.print(f"judged as {task.name} ({nearest})" if judge else f"judged by nobody ({nearest})")
    seed = lay_out(world, args.seed, judge)
    again = f"make demo SEED={seed}" + (f" SAY={shlex.quote(args.say)}" if args.say is not None else "")
    console.print(f"seed {seed} (again: {again})")
    out.mkdir(parents=True, exist_ok=True)
    with Video(out / "video.mp4") as film:
        stage = Stage(world, session, film, console)
        scene = change_of_mind if session.spec.switches else five
        steps = [stage.perform(args.say, judge, "1/1")] if args.say is not None else scene(stage, world, seed)
    headline = _headline(steps)
    _page(out, headline, steps, again)
    console.print(f"[bold]{headline}[/] in {monotonic() - began:.0f} s")
    console.print(f"film {out / 'video.mp4'}", f"page {out / 'index.html'}", sep="\n", soft_wrap=True)


def _headline(steps: list[Step]) -> str:
    judged = [s for s in steps if s.success is not None]
    if not judged:
        return "Followed, judged by nobody"
    return f"{sum(bool(s.success) for s in judged)} of {len(judged)} done"


def _page(out: Path, headline: str, steps: list[Step], again: str) -> None:
    success = None if all(s.success is None for s in steps) else all(s.success for s in steps)
    rows = "".join(
        f"<li><q>{html.escape(s.instruction)}</q> <small>{s.task or 'no task we know'}</small><br>"
        f"{html.escape(s.verdict)} after {s.seconds:.1f} s</li>"
        for s in steps
    )
    page.write(
        out / "index.html",
        "demo.html",
        headline=headline,
        steps=rows,
        command=html.escape(again),
        film=page.film("video.mp4", success, headline, " → ".join(s.instruction for s in steps), again),
    )


if __name__ == "__main__":
    sys.exit(exit_code(main))
