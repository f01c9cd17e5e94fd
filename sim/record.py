"""Records demonstrations of the scripted experts as rosbag2 bags, one directory for each episode.

    python -m sim.record --tasks all --episodes 160 --out data/tabletop/demos

Each episode has its own seed; existing bags are not recorded again, so the same command continues where it stopped.
Half of the episodes are disturbed *below* the command topic: the arm strays from the recorded command, and the policy
learns how to recover (after DART, Laskey et al. 2017). Lights, table top, cameras and objects in no task are varied in
most episodes; `look` in a bag's metadata says how. A variation changes pictures only.
"""

import argparse
import multiprocessing
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from policy import folders
from policy.data.bag_files import custom_data
from policy.data.bag_writer import BagExists, EpisodeWriter
from policy.errors import InputError, exit_code
from sim import headless
from sim.cluster import add_argument
from sim.demonstration import demonstrate
from sim.demonstration_writer import DemonstrationWriter, recorded_channels
from sim.disturbance import Disturbance
from sim.initial_states import start
from sim.job_queue import run_jobs
from sim.shifts import vary
from sim.worlds import DEFAULT, load
from sim.worlds.interface import World

TRAINING = 1_000_000  # seeds from here on are for evaluation
SEEDS = 100_000  # seeds of the first attempts; each further attempt has as many of its own
ATTEMPTS = 10  # an expert that fails, as a disturbance can make it, gets another initial state
SHARE = 3  # tasks, at most, that are demonstrated from one layout, each in a bag of its own


class RecordingJob(NamedTuple):
    """One episode to record."""

    task: str
    seed: int
    start: str  # as in sim.initial_states
    pushed: bool
    bag: Path
    world: str = DEFAULT
    varied: bool = True  # the look, in a share of the episodes


def record(job: RecordingJob) -> int:
    """Record one episode; returns the number of attempts."""
    for attempt in range(ATTEMPTS):
        if job.bag.exists():  # another command was first
            return attempt
        try:
            if _attempt(_world(job.world), job, job.seed + attempt * SEEDS):
                return attempt + 1
        except BagExists:  # it was first while the initial state was drawn
            return attempt
    raise InputError(
        f"the expert of {job.task} failed from {ATTEMPTS} initial states, seed {job.seed} plus multiples of {SEEDS}; "
        f"correct it in sim/worlds/{job.world}"
    )


@cache
def _world(name: str) -> World:
    """Made once in each process."""
    return load(name)()


def _attempt(world: World, job: RecordingJob, seed: int) -> bool:
    """Write the bag if the expert succeeds from this seed; whether it did."""
    task, contract = world.every_task()[job.task], world.contract()
    start(world, task, seed, job.start)
    number = list(world.every_task()).index(job.task)
    look = vary(world, np.random.default_rng([seed, 6, number])) if job.varied else "plain"
    rng = np.random.default_rng([seed, 2, number])
    disturbance = Disturbance(rng, world.grippers) if job.pushed else lambda: None
    stages = [stage for stage in (task, task.first(world)) if stage is not None]
    asked = [(stage, stage.phrasings[rng.integers(len(stage.phrasings))]) for stage in stages]
    custom = _noted(job) | {"seed": str(seed), "start": job.start, "pushed": str(job.pushed), "look": look}
    try:
        with EpisodeWriter(job.bag, recorded_channels(world), custom) as bag:
            writer = DemonstrationWriter(bag, contract, world)
            for stage, instruction in reversed(asked):
                writer.instruction(instruction, stage.name)
                *_, held = False, *demonstrate(world, stage, writer.step, disturbance)
                if not held:
                    raise _ExpertFailed
    except _ExpertFailed:
        return False
    return True


class _ExpertFailed(Exception):
    """The expert did not succeed: the bag is not kept."""


def plan(tasks: list[str], episodes: int, out: Path, world: str = DEFAULT, varied: bool = True) -> list[RecordingJob]:
    """All episodes: a third from where another task ended, the rest from home but for two twelfths.

    A twelfth begins with a near miss, and one, of tasks with an opposite, where either could be asked for. Half are
    disturbed. Tasks share layouts in threes or twos, drawn anew in each round, as sim.switches needs it; those of
    suites have their own, from home.
    """
    known = load(world)

    def kind(i: int, name: str) -> str:
        wanted = {1: "near_miss", 7: "undecided"}.get(i % 12, "other" if i % 3 == 2 else "home")
        if name not in known.tasks or wanted not in known.starts:
            return "home"
        return wanted if wanted != "undecided" or known.tasks[name].opposite else "home"

    return [
        RecordingJob(name, seed, kind(i, name), i % 2 == 1, out / f"{name}_{i:04d}", world, varied)
        for i in range(episodes)
        for name, seed in layout_seeds(i, world).items()
        if name in tasks
    ]


def layout_seeds(i: int, world: str = DEFAULT) -> dict[str, int]:
    """The seed of each task's layout in round i."""
    order = np.random.default_rng([i, 3]).permutation(list(load(world).tasks))
    groups = np.array_split(order, -(-len(order) // SHARE))
    shared = {str(name): i * len(groups) + number for number, group in enumerate(groups) for name in group}
    return shared | {name: i for tasks in load(world).suites.values() for name in tasks}


def refuse_others(out: Path, existing: list[RecordingJob]) -> None:
    """`InputError` where a folder holds other recordings under the names of those that are asked for.

    Those of another task or world, or with another choice of `--plain`; of each task the last one is looked at.
    """
    for job in {job.task: job for job in existing}.values():
        noted = custom_data(job.bag)
        for what, wanted in _noted(job).items():
            if noted.get(what, wanted) != wanted:
                raise InputError(
                    f"{job.bag} was recorded with {what} {noted[what]}, and {what} {wanted} is asked for; "
                    f"give another folder than {out}"
                )


def _noted(job: RecordingJob) -> dict[str, str]:
    """What a bag says of how it was recorded, beside its layout."""
    return {"task": job.task, "world": job.world, "varied": str(job.varied)}


def main(argv: list[str] | None = None) -> None:
    """Record the episodes that do not exist yet."""
    parser = argparse.ArgumentParser(prog="python -m sim.record", description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", default="all", help="all, a suite such as memory, or names with commas")
    parser.add_argument("--episodes", type=int, default=100, help="of each task")
    parser.add_argument("--world", default=DEFAULT, help="a name in sim/worlds")
    parser.add_argument("--out", type=Path, required=True, help="folder for the bags")
    parser.add_argument("--plain", action="store_true", help="do not vary lights, colours, cameras and objects")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    add_argument(parser)
    args = parser.parse_args(argv)
    headless.require()
    names = load(args.world).named(args.tasks)
    most = SEEDS // -(-len(load(args.world).tasks) // SHARE)
    if not 1 <= args.episodes <= most:
        raise InputError(f"--episodes {args.episodes}: expected 1 to {most}, so that all seeds are training seeds")
    jobs = plan(names, args.episodes, args.out, args.world, not args.plain)
    refuse_others(args.out, [job for job in jobs if job.bag.exists()])
    jobs = [job for job in jobs if not job.bag.exists()]
    if not load(args.world).one_scene:
        jobs.sort(key=lambda job: job.task)  # so that few scenes are loaded at a time
    folders.make(args.out)
    print(f"{len(jobs)} episodes to record, {len(names) * args.episodes - len(jobs)} exist already")
    if text := load(args.world).contract_text:
        if not (args.out / "contract.yaml").exists():  # one that is there may have been edited
            (args.out / "contract.yaml").write_text(text)
        print(f"policy.train takes --contract {args.out / 'contract.yaml'}")
    attempts = sum(run_jobs(record, jobs, args.processes, "episode", args.ray))
    print(f"{len(jobs)} episodes in {attempts} attempts in {args.out}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
