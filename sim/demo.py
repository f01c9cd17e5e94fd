"""`make demo`: the shipped policy changes its task with an object in the hand and resumes it; or it does what you say.

It writes a film and a page. A policy that does not switch does five tasks in a row.
"""

import argparse
import html
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from random import SystemRandom
from time import monotonic

import numpy as np
from rich.console import Console
from rich.markup import escape

from policy import folders
from policy.errors import InputError, exit_code
from policy.running.session import Session
from sim import headless
from sim import html_page as page
from sim.demo_stage import DemoStage, Step, after
from sim.evaluation_page.written import write_errors
from sim.fitting import require_robot
from sim.initial_states import check_seed
from sim.nearest_task import nearest_task
from sim.taught_tasks import taught
from sim.video import Video
from sim.worlds import DEFAULT, load
from sim.worlds.interface import Task, World

MODEL = "models/tabletop"
CHAIN = 5  # tasks in a row
SIMILAR = 0.6  # cosine similarity from which a sentence is taken to mean a task
REFUSED = "Refused"
EXAMPLES = 3  # phrasings in a message


def switch_and_resume(stage: DemoStage, world: World, seed: int, known: list[str]) -> list[Step]:
    """A is interrupted mid-grasp, B is done, "continue" finishes A; the seed draws tasks, phrasings and moment."""
    rng = np.random.default_rng([seed, 1])
    grasping, others = _grasping_and_others(_possible(world, known))
    a, b = grasping[rng.integers(len(grasping))], others[rng.integers(len(others))]
    first, second = (stage.sentence(t, rng) for t in (a, b))
    return [
        stage.interrupt(first, a, "1/3", int(rng.integers(6, 20))),
        stage.perform(second, b, "2/3"),
        stage.perform("continue", a, "3/3"),
    ]


def chain(stage: DemoStage, world: World, seed: int, known: list[str]) -> list[Step]:
    """CHAIN instructions in a row in one scene, each of another task, drawn by the seed."""
    rng = np.random.default_rng([seed, 1])
    steps: list[Step] = []
    for i in range(CHAIN):
        if not (possible := _possible(world, known)):
            print(f"the chain ends after {i}: all that the policy was taught is done")
            break
        new = [t for t in possible if t.name not in {s.task for s in steps}] or possible
        task = new[rng.integers(len(new))]
        steps.append(stage.perform(stage.sentence(task, rng), task, f"{i + 1}/{CHAIN}"))
    return steps


def _possible(world: World, known: list[str]) -> list[Task]:
    """The tasks that are possible now, of those that the policy knows."""
    return [world.tasks[name] for name in known if world.tasks[name].possible(world)]


def _grasping_and_others(tasks: list[Task]) -> tuple[list[Task], list[Task]]:
    """Those that carry an object, and the others."""
    grasping = [t for t in tasks if t.grasps]
    return grasping, [t for t in tasks if t not in grasping]


def reset(world: World, seed: int | None, allowed: Callable[[World], bool]) -> int:
    """Reset the world to the given seed or to a new one whose layout is `allowed`; returns the seed."""
    while True:
        drawn = seed if seed is not None else SystemRandom().randrange(1_000_000, 10_000_000)
        world.reset(np.random.default_rng(drawn))
        if allowed(world):
            return drawn
        if seed is not None:
            raise InputError(
                f"with seed {seed}, what is asked for is already done or not possible; "
                "leave SEED out, or give another one"
            )


def main() -> None:
    """Run the demo; write film and page."""
    began = monotonic()
    parser = argparse.ArgumentParser(prog="python -m sim.demo", description=__doc__)
    parser.add_argument("--say", help="an instruction of your own")
    parser.add_argument("--seed", type=int, help="the layout of an earlier run")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--world", default=DEFAULT, help="a name in sim/worlds")
    parser.add_argument("--out", type=Path, default="out/demo")
    args = parser.parse_args()
    if args.seed is not None:
        check_seed(args.seed)
    kind = load(args.world)
    if args.say is not None and not args.say.strip():
        examples = ", ".join(f'"{task.phrasings[0]}"' for task in list(kind.tasks.values())[:EXAMPLES])
        raise InputError(f"SAY is empty; expected an instruction such as {examples}")
    if args.say is None:
        kind.require_several_tasks()
    headless.require()
    console, out = Console(highlight=False), args.out
    session, world = Session(args.model, threads=2), kind()
    require_robot(session, args.model, args.world)
    known = taught(kind.tasks, session)
    seen = f"{len(session.spec.cameras)} cameras"
    console.print(f"midstream: {escape(args.model)} on {session.provider}, {seen}, {len(known)} tasks")
    task = None if args.say is None else _judging_task(args.say, world.tasks, console)
    if args.say is None and session.spec.switches:
        if not all(_grasping_and_others([world.tasks[name] for name in known])):
            raise InputError(
                f"of {args.world} the policy knows {', '.join(known)}: a change of instruction is shown with one task "
                "that carries an object and one that does not; give SAY, an instruction"
            )
        seed = reset(world, args.seed, lambda world: all(_grasping_and_others(_possible(world, known))))
    elif args.say is None:
        seed = reset(world, args.seed, lambda world: bool(_possible(world, known)))
    else:  # what no task judges can be asked for in any layout
        seed = reset(world, args.seed, lambda world: task is None or task.possible(world))
    command = _repeated(args, seed)
    console.print(f"seed {seed} (to repeat it: {escape(command)})")
    folders.make_for_page(out)
    with folders.claimed(out):
        with Video(out / "video.mp4") as film:
            stage = DemoStage(world, session, film, console, seed)
            if args.say is not None:
                steps = [stage.perform(args.say, task, "1/1")]
            else:
                steps = (switch_and_resume if session.spec.switches else chain)(stage, world, seed, known)
        headline = _headline(steps)
        with write_errors(out / "index.html"):
            _write_page(out, headline, steps, command)
    console.print(f"[bold]{headline}[/]" + ("" if headline == REFUSED else f" in {monotonic() - began:.0f} s"))
    console.print(f"film {out / 'video.mp4'}", f"page {out / 'index.html'}", sep="\n", soft_wrap=True)


def _repeated(args: argparse.Namespace, seed: int) -> str:
    """The command that repeats this run."""
    say = None if args.say is None else shlex.quote(args.say)
    if (args.model, args.world) == (MODEL, DEFAULT):
        return f"make demo SEED={seed}" + (f" SAY={say}" if say else "")
    command = f"python -m sim.demo --model {shlex.quote(args.model)} --world {shlex.quote(args.world)} --seed {seed}"
    return command + (f" --say {say}" if say else "")


def _judging_task(sentence: str, tasks: Mapping[str, Task], console: Console) -> Task | None:
    """The task whose success test judges a sentence; None where none is similar enough."""
    nearest = nearest_task(sentence, tasks)
    judged = nearest.similarity >= SIMILAR
    console.print(
        (f"judged as {nearest.task.name}" if judged else "not judged")
        + f' (nearest known phrasing: "{nearest.phrasing}", cosine {nearest.similarity:.2f})',
        soft_wrap=True,
    )
    return nearest.task if judged else None


def _success(steps: list[Step]) -> bool | None:
    """Whether all that is judged is done; what is interrupted is not judged. None: nothing is."""
    judged = [s.success for s in steps if s.success is not None]
    return all(judged) if judged else None


def _headline(steps: list[Step]) -> str:
    judged = [s for s in steps if s.success is not None]
    if not judged:
        return "Followed, not judged"
    if len(steps) == 1 and steps[0].refused:
        return REFUSED
    return f"{sum(bool(s.success) for s in judged)} of {len(judged)} done"


def _write_page(out: Path, headline: str, steps: list[Step], command: str) -> None:
    rows = "".join(
        f"<li><q>{html.escape(s.instruction)}</q> <small>{s.task or 'no known task'}</small><br>"
        f"{html.escape(s.outcome)}{after(s)}</li>"
        for s in steps
    )
    success = _success(steps)
    badge = "refused" if headline == REFUSED else {True: "done", False: "not done", None: "not judged"}[success]
    page.write(
        out / "index.html",
        "demo.html",
        headline=headline,
        steps=rows,
        command=html.escape(command),
        film=page.film("video.mp4", success, badge, headline, " → ".join(s.instruction for s in steps), command),
    )


if __name__ == "__main__":
    sys.exit(exit_code(main))
