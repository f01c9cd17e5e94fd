"""What an evaluation runs: every episode is a job with its own seed and can be run again alone."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from policy.running.session import Session
from sim.initial_states import start
from sim.rollout import Driver, Watch
from sim.tasks import TASKS
from sim.world import World

CHAIN = 5  # instructions in a row
FAILURES = 2  # filmed for each task, next to one success
Say = Callable[[str, str], None]  # called with the task and the instruction whenever one is given


@dataclass(frozen=True, slots=True)
class Job:
    """One episode: which run of the evaluation it belongs to, what to do and from where."""

    run: str  # "main", "reworded", "new_words", "shuffled" or "chain"
    task: str  # "" in a chain: it draws its own
    seed: int
    start: str  # "home" or "other": where the arm begins


def plan(tasks: Sequence[str], episodes: int, held_out: int, chains: int, seed: int) -> list[Job]:
    """All jobs; each has a seed of its own, counted up from `seed`."""
    runs = [("main", episodes), ("reworded", held_out), ("new_words", held_out), ("shuffled", held_out)]
    wanted = [(run, task, "other" if i % 3 == 2 else "home") for run, n in runs for task in tasks for i in range(n)]
    wanted += [("chain", "", "home")] * chains
    return [Job(run, task, seed + i, begin) for i, (run, task, begin) in enumerate(wanted)]


def play(
    job: Job, world: World, session: Session, say: Say | None = None, watch: Watch | None = None
) -> dict[str, Any]:
    """Run one job to its end and return its record, which is the same every time."""
    rng = np.random.default_rng([job.seed, 1])  # words only; the layout draws from the seed itself
    return (_chain if job.run == "chain" else _single)(job, world, session, rng, say, watch)


def _single(
    job: Job, world: World, session: Session, rng: np.random.Generator, say: Say | None, watch: Watch | None
) -> dict[str, Any]:
    task = TASKS[job.task]
    start(world, task, job.seed, job.start)
    said = task
    if job.run == "shuffled":  # the scene and the success of one task, the words of another
        others = [t for t in TASKS.values() if t is not task and t.possible(world)]
        said = others[rng.integers(len(others))]
    words = {"reworded": said.reworded, "new_words": said.new_words}.get(job.run, said.phrasings)
    instruction = words[rng.integers(len(words))]
    if say is not None:
        say(said.name, instruction)
    outcome = Driver(world, session).perform(instruction, task, watch)
    return {
        "run": job.run,
        "task": job.task,
        "seed": job.seed,
        "start": job.start,
        "said": said.name,
        "instruction": instruction,
        "success": outcome.success,
        "steps": outcome.steps,
        "interventions": outcome.interventions,
    }


def _chain(
    job: Job, world: World, session: Session, rng: np.random.Generator, say: Say | None, watch: Watch | None
) -> dict[str, Any]:
    world.reset(np.random.default_rng(job.seed))
    driver, given, done = Driver(world, session), [], 0
    for _ in range(CHAIN):
        possible = [t for t in TASKS.values() if t.possible(world)]
        task = possible[rng.integers(len(possible))]
        instruction = task.phrasings[rng.integers(len(task.phrasings))]
        if say is not None:
            say(task.name, instruction)
        outcome = driver.perform(instruction, task, watch)
        given.append(
            {
                "task": task.name,
                "instruction": instruction,
                "success": outcome.success,
                "steps": outcome.steps,
                "interventions": outcome.interventions,
            }
        )
        if not outcome.success:
            break
        done += 1
    return {"run": job.run, "seed": job.seed, "done": done, "given": given}


def choose_films(records: list[dict[str, Any]], jobs: list[Job]) -> list[tuple[str, Job]]:
    """File name and job of what is worth seeing: for each task its first failures and one success."""
    seen: dict[tuple[str, bool], int] = defaultdict(int)
    films = []
    for record, job in zip(records, jobs, strict=True):
        if job.run not in ("main", "chain"):
            continue
        success = all(g["success"] for g in record["given"]) if job.run == "chain" else record["success"]
        name = (job.task or "chain", bool(success))
        if seen[name] < (1 if success else FAILURES):
            seen[name] += 1
            films.append((f"{name[0]}-{'success' if success else f'failure-{seen[name]}'}", job))
    return films
