"""Records the experts' demonstrations as rosbag2 bags, one directory an episode, as a live robot would.

    python -m sim.record --tasks all --episodes 160 --out data/tabletop/demos

Each episode has a seed of its own, so what is there already is not recorded again: the same command goes on where it
was. Half of the episodes are pushed about *below* the command topic: the arm strays, the recorded command does not,
and so the policy learns the way back (after DART, Laskey et al. 2017).
"""

import argparse
import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from policy.data.bags import EpisodeWriter, channels
from policy.data.workers import pool as new_pool
from policy.errors import InputError, exit_code, unknown
from policy.robot import contract as contracts
from policy.robot.contract import Contract
from sim import headless
from sim.demonstration_writer import DemonstrationWriter
from sim.initial_states import start
from sim.kinematics import Kinematics
from sim.tasks import HOLD, TASKS, Expert
from sim.world import World

TRAINING = 1_000_000  # seeds at or above it are for evaluation
SEEDS = 100_000  # starts of the first try; each further try of a failed one has its own
TRIES = 10  # an expert that fails, as a push can make it, is given another start
SHARE = 3  # tasks that are shown on one table, in demonstrations of their own


class Job(NamedTuple):
    """One episode to record."""

    task: str
    seed: int
    start: str
    pushed: bool
    bag: Path


class Push:
    """What disturbs the arm: a slow drift of all joints, and now and then a shove."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng, self._drift, self._shove, self._left = rng, np.zeros(8), np.zeros(8), 0

    def __call__(self) -> np.ndarray:
        """The disturbance (8,) [rad] of this control step; the gripper (last) has none."""
        self._drift = 0.88 * self._drift + self._rng.normal(0, 0.004, 8)
        if self._left == 0 and self._rng.random() < 0.02:
            self._shove, self._left = self._rng.normal(0, 0.07, 8), int(self._rng.integers(4, 9))
        self._left = max(self._left - 1, 0)
        push = self._drift + (self._shove if self._left else 0.0)
        push[7] = 0.0
        return push


_world: World | None = None
_kinematics: Kinematics | None = None
_contract: Contract | None = None


def record(job: Job) -> int:
    """Record one episode; returns how many starts it took."""
    global _world, _kinematics, _contract
    if _world is None:
        _world, _kinematics, _contract = World(), Kinematics(), contracts.load("tabletop")
    for attempt in range(TRIES):
        if _attempt(_world, _kinematics, _contract, job, job.seed + attempt * SEEDS):
            return attempt + 1
    raise InputError(
        f"the expert of {job.task} failed from {TRIES} starts, seeds {job.seed} and on; it needs repair: see sim/tasks"
    )


def _attempt(world: World, kinematics: Kinematics, contract: Contract, job: Job, seed: int) -> bool:
    task = TASKS[job.task]
    start(world, task, seed, job.start)
    rng = np.random.default_rng([seed, 2, list(TASKS).index(job.task)])
    push = Push(rng) if job.pushed else None
    words = task.phrasings[rng.integers(len(task.phrasings))]
    expert, held = Expert(world, task.motion(world), kinematics), 0
    custom = {"task": task.name, "seed": str(seed), "start": job.start, "pushed": str(job.pushed)}
    try:
        with EpisodeWriter(job.bag, channels(contract), custom) as bag:
            messages = DemonstrationWriter(bag, contract, world)
            messages.instruction(words, task.name)
            for _ in range(task.steps):
                action = expert.act()
                if action is None:
                    break
                messages.observation()
                messages.command(action)
                world.step(action, push() if push else None)
                held = held + 1 if task.success(world) else 0
            if held < HOLD:
                raise _Failed
    except _Failed:
        return False
    return True


class _Failed(Exception):
    """The expert did not succeed: its bag is not kept."""


def plan(tasks: list[str], episodes: int, out: Path) -> list[Job]:
    """All episodes: a third begins where another task ended, a twelfth where the task was just missed, half are pushed.

    Tasks share tables in threes, drawn anew for each round: switches from one to another (sim.switches) need that.
    """

    def kind(i: int) -> str:
        return "near_miss" if i % 12 == 1 else "other" if i % 3 == 2 else "home"

    return [
        Job(name, seed, kind(i), i % 2 == 1, out / f"{name}_{i:04d}")
        for i in range(episodes)
        for name, seed in tables(i).items()
        if name in tasks
    ]


def tables(i: int) -> dict[str, int]:
    """The seed of each task's table in round i."""
    drawn = np.random.default_rng([i, 3]).permutation(list(TASKS))
    return {str(name): i * len(TASKS) // SHARE + place // SHARE for place, name in enumerate(drawn)}


def spread(work: Callable[[Any], Any], jobs: Sequence[Any], processes: int, unit: str) -> Iterator[Any]:
    """What `work` makes of each job, in other processes and any order, under a progress bar."""
    with new_pool(processes) as pool:
        futures = [pool.submit(work, job) for job in jobs]
        try:
            for done in tqdm(as_completed(futures), total=len(futures), unit=unit):
                yield done.result()
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            print("stopped; the same command goes on where it was", file=sys.stderr)
            raise SystemExit(130) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def main(argv: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m sim.record", description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", default="all", help="names with commas between them, or all")
    parser.add_argument("--episodes", type=int, default=100, help="of each task")
    parser.add_argument("--out", type=Path, required=True, help="folder for the bags")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    args = parser.parse_args(argv)
    headless.require()
    names = list(TASKS) if args.tasks == "all" else args.tasks.split(",")
    for name in names:
        if name not in TASKS:
            raise unknown("task", name, TASKS)
    most = SEEDS * SHARE // len(TASKS)
    if not 1 <= args.episodes <= most:
        raise InputError(f"--episodes {args.episodes}: expected 1 to {most}, so that all seeds are for training")
    todo = [job for job in plan(names, args.episodes, args.out) if not job.bag.exists()]
    print(f"{len(todo)} episodes to record, {len(names) * args.episodes - len(todo)} are there already")
    args.out.mkdir(parents=True, exist_ok=True)
    starts = sum(spread(record, todo, args.processes, "episode"))
    print(f"{len(todo)} episodes from {starts} starts in {args.out}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
