"""The episodes of an evaluation: each is a job with its own seed, which can be run again alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from policy.running.session import Session
from sim.initial_states import start
from sim.rollout import SimulatedLoop
from sim.seams import Seams
from sim.shifts import NONE, shift
from sim.taught_tasks import sentences, taught
from sim.trace import Trace
from sim.worlds.interface import Task, World

CHAIN = 5  # instructions in a row
Record = dict[str, Any]
Watch = Callable[[SimulatedLoop], None]  # called after each control step


@dataclass(frozen=True, slots=True)
class EpisodeJob:
    """One episode."""

    run: str  # "main", "reworded", "new_words", "shuffled" or "chain"
    task: str  # "" in a chain, which draws its own
    seed: int
    start: str  # as in sim.initial_states
    shift: str = NONE  # as in sim.shifts
    latency_ms: int = 0  # of the simulated clock, from a frame to its chunk
    schedule: str | None = (
        None  # as in policy.running.schedule, None for the policy's own; given: its seams are measured
    )


def plan(
    tasks: Sequence[str], world: type[World], episodes: int, held_out: int, chains: int, seed: int
) -> list[EpisodeJob]:
    """All jobs; each has a seed of its own, counted up from `seed`.

    Tasks of a suite, and the only task of a world or of its scene, begin at home where the world has that start, and
    neither the shuffled instruction nor chains are about them. A task without held-out phrasings is not asked in them.
    """
    every = world.every_task()
    alone = {task for task in tasks if _alone(task, world)}
    runs = [("main", episodes), ("reworded", held_out), ("new_words", held_out), ("shuffled", held_out)]
    wanted = [
        (run, task, start_of(task, world, i))
        for run, n in runs
        for task in tasks
        if {"main": True, "shuffled": task not in alone}.get(run, getattr(every[task], run, ()))
        for i in range(n)
    ]
    wanted += [("chain", "", "home")] * (chains if chained(tasks, world) else 0)
    return [EpisodeJob(run, task, seed + i, kind) for i, (run, task, kind) in enumerate(wanted)]


def start_of(task: str, world: type[World], number: int) -> str:
    """From where an evaluation begins the episode of a number: those of a task with no other beside it at home."""
    if _alone(task, world) and "home" in world.starts:
        return "home"
    return world.evaluated_from[number % len(world.evaluated_from)]


def chained(tasks: Sequence[str], world: type[World]) -> bool:
    """Whether there are tasks among these that may follow one another in one scene."""
    return not all(_alone(task, world) for task in tasks)


def _alone(task: str, world: type[World]) -> bool:
    """Whether it is of a suite, or the only one of its world or of its scene."""
    return task not in world.tasks or len(world.tasks) == 1 or not world.one_scene


def play(
    job: EpisodeJob,
    world: World,
    session: Session,
    watch: Watch = lambda _: None,
) -> Record:
    """Run one job to its end and return its record, with "curves", which is the same every time."""
    rng = np.random.default_rng([job.seed, 1])  # for tasks and phrasings; the layout draws from the seed itself
    play_one = _chain if job.run == "chain" else _single
    return play_one(job, world, session, rng, watch)


def _single(
    job: EpisodeJob,
    world: World,
    session: Session,
    rng: np.random.Generator,
    watch: Watch,
) -> Record:
    task = instructed = world.every_task()[job.task]
    start(world, task, job.seed, job.start)
    shift(world, job.shift, job.seed)
    if job.run == "shuffled":  # judged by one task, instructed with another
        others = _possible(world, session, but=task)
        if not others:  # as of a policy that was taught this task alone
            return {"run": job.run, "task": job.task, "seed": job.seed, "skipped": True}
        instructed = others[rng.integers(len(others))]
    held_out = {"reworded": instructed.reworded, "new_words": instructed.new_words}
    phrasings = held_out.get(job.run) or sentences(instructed, session)
    instruction = phrasings[rng.integers(len(phrasings))]
    loop = SimulatedLoop(world, session, job.latency_ms * 1_000_000, job.schedule, seed=job.seed)
    seams, trace = Seams(loop) if job.schedule else None, Trace(loop)

    def after() -> None:
        trace.step()
        if seams is not None and loop.instruction == instruction:
            seams.step()
        watch(loop)

    before = task.first(world)
    if before is not None:
        first_words = sentences(before, session)
        words = first_words[rng.integers(len(first_words))]
        first_success = loop.perform(words, before, after).success
    outcome = loop.perform(instruction, task, after)
    first = {} if before is None else {"first": before.name, "first_success": first_success}
    return {
        "run": job.run,
        "task": job.task,
        "seed": job.seed,
        "start": job.start,
        "shift": job.shift,
        "instructed_task": instructed.name,
        "instruction": instruction,
        "success": outcome.success and first.get("first_success", True),
        "outcome": task.outcome(world),
        "steps": outcome.steps,
        "interventions": outcome.interventions,
        "curves": trace.curves(),
        **first,
    } | (_measured(job, seams, outcome.steps / session.spec.rate) if seams else {})


def _possible(world: World, session: Session, but: Task | None = None) -> list[Task]:
    """What can be asked for now, of what the policy was taught."""
    known = [world.tasks[name] for name in taught(world.tasks, session)]
    return [task for task in known if task is not but and task.possible(world)]


def _measured(job: EpisodeJob, seams: Seams, seconds: float) -> Record:
    return {"latency_ms": job.latency_ms, "schedule": job.schedule, "seconds": seconds, **seams.jerk()}


def _chain(
    job: EpisodeJob,
    world: World,
    session: Session,
    rng: np.random.Generator,
    watch: Watch,
) -> Record:
    """Up to CHAIN tasks in one scene, until the first failure, or until nothing that was taught is possible."""
    world.reset(np.random.default_rng(job.seed))
    robot, subtasks = SimulatedLoop(world, session, seed=job.seed), list[Record]()
    trace = Trace(robot)

    def after() -> None:
        trace.step()
        watch(robot)

    out_of_tasks = {}
    while len(subtasks) < CHAIN and all(subtask["success"] for subtask in subtasks):
        possible = _possible(world, session)
        if not possible:
            out_of_tasks = {"out_of_tasks": True}
            break
        task = possible[rng.integers(len(possible))]
        known = sentences(task, session)
        instruction = known[rng.integers(len(known))]
        outcome = robot.perform(instruction, task, after)
        subtasks.append(
            {
                "task": task.name,
                "instruction": instruction,
                "success": outcome.success,
                "steps": outcome.steps,
                "interventions": outcome.interventions,
            }
        )
    completed = sum(subtask["success"] for subtask in subtasks)
    return {
        "run": job.run,
        "seed": job.seed,
        "completed": completed,
        "subtasks": subtasks,
        **out_of_tasks,
    } | ({"curves": trace.curves()} if subtasks else {})


def succeeded(record: Record) -> bool:
    """Whether the episode succeeded; a chain only as a whole, or as far as it could go."""
    if "completed" not in record:
        return bool(record["success"])
    return bool(record["completed"] == len(record["subtasks"]))
