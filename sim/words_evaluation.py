"""`python -m sim.evaluate <model> --words all`: opposites, negations, near misses, two tasks in one sentence.

order          the instruction's task or its opposite?          where both readings are possible
negated        "don't ...": done all the same?
under_way      the same while that task is under way: finished all the same?
near_misses    things or doings that are not there: followed?   any task of the world that is done in the end
pairs          two tasks in one sentence: half done and reported done?
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from policy.running.session import Session
from sim.evaluation_jobs import Watch
from sim.initial_states import start
from sim.rollout import SimulatedLoop
from sim.taught_tasks import sentences
from sim.trace import Trace
from sim.worlds.interface import Sentences, Task, World

RUNS = ("order", "negated", "under_way", "near_misses", "pairs")
UNDER_WAY = 40  # control steps, at most, after which a task is under way
BEFORE = 8  # control steps before it is done, where that is sooner
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class WordsJob:
    """One sentence in one layout."""

    run: str  # one of RUNS
    tasks: tuple[str, ...]  # that it names or forbids; none for a near miss
    sentence: str
    seed: int


def plan(runs: Sequence[str], sentences: Sentences, episodes: int, seed: int) -> list[WordsJob]:
    """Every frozen sentence once, those of `order` `episodes` times for each task; each job has a seed of its own."""
    every: dict[str, list[tuple[tuple[str, ...], str]]] = {
        "order": [((task,), texts[i % len(texts)]) for task, texts in sentences.order.items() for i in range(episodes)],
        "negated": [((task,), text) for text, task in sentences.negated.items()],
        "under_way": [((task,), text) for text, task in sentences.negated.items()],
        "near_misses": [((), text) for text in sentences.near_misses],
        "pairs": [(tasks, text) for text, tasks in sentences.pairs.items()],
    }
    wanted = [(run, tasks, text) for run in runs for tasks, text in every[run]]
    return [WordsJob(run, tasks, text, seed + i) for i, (run, tasks, text) in enumerate(wanted)]


class Held:
    """Which tasks have been done: their success has held since the instruction."""

    def __init__(self, world: World, tasks: Mapping[str, Task]) -> None:
        self._world, self._tasks = world, tasks
        self._steps = dict.fromkeys(tasks, 0)
        self.done: set[str] = set()

    @property
    def undecided(self) -> bool:
        """Whether a success is there that has not held for long enough yet."""
        return any(0 < steps < self._world.success_steps for steps in self._steps.values())

    def step(self) -> None:
        """After a control step."""
        for name, task in self._tasks.items():
            self._steps[name] = self._steps[name] + 1 if task.success(self._world) else 0
            if self._steps[name] == self._world.success_steps:
                self.done.add(name)


def play(job: WordsJob, world: World, session: Session, watch: Watch = lambda _: None) -> Record:
    """Give one sentence and record which tasks are done, and what the policy reports; with "curves"."""
    tasks = [world.tasks[name] for name in job.tasks]
    _lay_out(job, tasks, world)
    watched = _watched(job, tasks, world)
    before = _until_under_way(job, tasks, world, session) if job.run == "under_way" else 0
    robot = SimulatedLoop(world, session, seed=job.seed)
    trace = Trace(robot)

    def step() -> None:
        robot.step()
        trace.step()
        watch(robot)

    if before:
        _begin(robot, tasks[0], job.seed)
        for _ in range(before):
            step()
    already = {name for name, task in watched.items() if task.success(world)}
    held = Held(world, watched)
    robot.instruct(job.sentence)
    most = sum(task.steps for task in tasks) or max(task.steps for task in world.tasks.values())
    for _ in range(most):
        step()
        held.step()
        if robot.refused and not robot.scheduled and not held.undecided:
            break
        if job.run in ("order", "negated", "under_way") and job.tasks[0] in held.done - already:
            break
    success = [name for name, task in watched.items() if task.success(world)]
    return {
        "run": job.run,
        "tasks": list(job.tasks),
        "sentence": job.sentence,
        "seed": job.seed,
        "already": sorted(already),
        "done": sorted(held.done),
        "done_at_the_end": success,
        "refused": robot.refused,
        "reported_done": robot.loop.done,
        "curves": trace.curves(),
    }


def _until_under_way(job: WordsJob, tasks: Sequence[Task], world: World, session: Session) -> int:
    """Control steps after which a task is under way and not done: until the hand touches something, less where a touch
    is nearly all that it takes, as of a button. The layout is the same again afterwards.
    """
    robot = SimulatedLoop(world, session, seed=job.seed)
    _begin(robot, tasks[0], job.seed)
    touched = UNDER_WAY
    for step in range(1, UNDER_WAY + BEFORE):
        robot.step()
        if world.contact:
            touched = min(touched, step)
        if tasks[0].success(world):
            touched = min(touched, step - BEFORE)
            break
    _lay_out(job, tasks, world)
    return max(1, touched)


def _begin(robot: SimulatedLoop, task: Task, seed: int) -> None:
    """Give an instruction of the task."""
    known = sentences(task, robot.session)
    robot.instruct(known[int(np.random.default_rng([seed, 1]).integers(len(known)))])


def _lay_out(job: WordsJob, tasks: Sequence[Task], world: World) -> None:
    """A layout in which the sentence could be followed: all that it names is possible, or may be undone."""
    if job.run == "order":
        start(world, tasks[0], job.seed, "undecided")
    elif job.run == "near_misses":
        world.reset(np.random.default_rng(job.seed))
    else:
        rng = np.random.default_rng(job.seed)
        world.reset(rng)
        while not all(task.possible(world) for task in tasks):
            world.reset(rng)


def _watched(job: WordsJob, tasks: Sequence[Task], world: World) -> dict[str, Task]:
    """The tasks whose success is looked for."""
    if job.run == "near_misses":
        return {name: task for name, task in world.tasks.items() if not task.success(world)}
    names = [*job.tasks, *([tasks[0].opposite] if job.run == "order" else [])]
    return {name: world.tasks[name] for name in names}
