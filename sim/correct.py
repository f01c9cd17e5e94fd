"""Lets a policy act, and has a scripted operator correct it where it fails; each correction becomes a bag.

    python -m sim.correct models/tabletop --tasks stack_red_on_blue --corrections 50 --out data/corrections

    |policy acts ........................ not done in twice the expert's time |the expert takes over ....... done|
    label/correction  False                                                   True

Training imitates the corrections alone (HG-DAgger, Kelly et al. 2019), beside what the policy is not to forget:
`python -m policy.train --weights models/tabletop --bags data/corrections --keep data/tabletop ...`. Episodes in which
the policy succeeds leave nothing. They begin where those of evaluations do. Existing bags are kept, and the same
command continues.
"""

import argparse
import multiprocessing
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from policy import folders
from policy.data.bag_files import bags_in, custom_data
from policy.data.bag_writer import EpisodeWriter
from policy.errors import InputError, exit_code
from policy.running.models import find_model
from policy.running.session import Session
from sim import headless
from sim.demonstration import demonstrate
from sim.demonstration_writer import DemonstrationWriter, recorded_channels
from sim.evaluation_jobs import start_of
from sim.evaluation_run import fingerprint
from sim.fitting import require_robot
from sim.initial_states import start
from sim.job_queue import workers
from sim.rollout import SimulatedLoop
from sim.taught_tasks import asked, sentences
from sim.worlds import DEFAULT, load
from sim.worlds.interface import Task, World

FIRST_SEED = 700_000  # of the layouts; those of recordings are below, those of evaluations from 1,000,000 on
MOST = 100_000  # episodes of a task
Step = Callable[[], None]
PATIENCE = 2.0  # times the expert's time, until it takes over
ENOUGH = 40  # episodes for a correction, until the policy is said to fail too seldom


class CorrectionJob(NamedTuple):
    """One episode."""

    model: str
    policy: str  # its identity
    world: str
    task: str
    seed: int
    start: str
    bag: Path


def correct(job: CorrectionJob) -> bool:
    """Play an episode; whether it left the bag of a correction."""
    if job.bag.exists():
        return True
    world, session = _world(job.world), _session(job.model)
    task = world.every_task()[job.task]
    start(world, task, job.seed, job.start)
    needed = next((step for step, held in enumerate(demonstrate(world, task), 1) if held), None)
    if needed is None:
        return False  # the expert fails here, too
    start(world, task, job.seed, job.start)
    custom = {
        "task": task.name,
        "seed": str(job.seed),
        "start": job.start,
        "corrected": Path(job.model).name,
        "policy": job.policy,
    }
    try:
        with EpisodeWriter(job.bag, recorded_channels(world), custom) as bag:
            _play(DemonstrationWriter(bag, world.contract(), world), world, session, task, job.seed, needed)
    except _NothingCorrected:
        return False
    return True


def _play(
    writer: DemonstrationWriter, world: World, session: Session, task: Task, seed: int, expert_steps: int
) -> None:
    """The policy, and then the expert until success has held. `_NothingCorrected` where one is not done by either."""
    rng = np.random.default_rng([seed, 8])
    loop, known = SimulatedLoop(world, session, seed=seed), sentences(task, session)
    instruction = known[rng.integers(len(known))]
    writer.instruction(instruction, task.name)
    loop.instruct(instruction)
    writer.correction(False)
    if any(_held(world, task, [loop.step] * round(PATIENCE * expert_steps), loop, writer)):
        raise _NothingCorrected
    writer.correction(True)
    expert = (partial(loop.drive, action) for action in islice(task.expert(world), task.steps))
    if not any(_held(world, task, expert, loop, writer)):
        raise _NothingCorrected


def _held(
    world: World, task: Task, steps: Iterable[Step], loop: SimulatedLoop, writer: DemonstrationWriter
) -> Iterator[bool]:
    """Take steps and write them; after each whether success has held."""
    held = 0
    for step in steps:
        writer.observation()
        began = world.time_ns
        step()
        writer.commanded(loop.command, began)
        held = held + 1 if task.success(world) else 0
        yield held >= world.success_steps


class _NothingCorrected(Exception):
    """The bag is not kept."""


@cache
def _world(name: str) -> World:
    """Made once in each process."""
    return load(name)()


@cache
def _session(model: str) -> Session:
    return Session(find_model(model), threads=1)


def main() -> None:
    """Play until there are enough corrections."""
    parser = argparse.ArgumentParser(prog="python -m sim.correct", description=__doc__.split("\n")[0])
    parser.add_argument("model", help="model folder, as policy.export writes it")
    parser.add_argument("--tasks", default="all", help="all, a suite, or names with commas")
    parser.add_argument("--corrections", type=int, default=50, help="of all tasks together")
    parser.add_argument("--world", default=DEFAULT, help="a name in sim/worlds")
    parser.add_argument("--out", type=Path, required=True, help="folder for the bags")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    args = parser.parse_args()
    headless.require()
    session, tasks = _session(args.model), load(args.world).named(args.tasks)
    require_robot(session, args.model, args.world)
    tasks = asked(tasks, session) if args.tasks == "all" else tasks
    if after := [name for name in tasks if type(load(args.world).every_task()[name]).first is not Task.first]:
        raise InputError(
            f"{', '.join(after)}: asked for after another task, which is not corrected; give other --tasks"
        )
    if not 1 <= args.corrections <= MOST:
        raise InputError(f"--corrections {args.corrections}: expected 1 to {MOST}")
    policy = fingerprint(find_model(args.model))
    with folders.claimed(args.out):  # two would play the same episodes, and take from each other what they count
        _refuse_others(args.out, args.model, policy)
        _play_until_enough(args, tasks, policy)


def _refuse_others(out: Path, model: str, policy: str) -> None:
    """`InputError` where a folder holds corrections of another policy."""
    for bag in bags_in(out):
        if (of := custom_data(bag).get("policy")) != policy:
            raise InputError(
                f"{bag} is not a correction of this policy ({of or 'no policy is noted'}; {model} is {policy}): "
                "give each policy a folder of its own, another --out"
            )


def _play_until_enough(args: argparse.Namespace, tasks: Sequence[str], policy: str) -> None:
    played, made = 0, 0
    jobs = (
        CorrectionJob(args.model, policy, args.world, task, FIRST_SEED + i, begin, args.out / f"{task}_{i:05d}")
        for i in count()
        for task in tasks
        for begin in [start_of(task, load(args.world), i)]
    )
    with workers(args.processes) as pool, tqdm(total=args.corrections, unit="correction") as bar:
        while made < args.corrections:
            together = list(islice(jobs, 2 * args.processes))
            new = [not job.bag.exists() for job in together]
            for job, made_now, corrected in zip(together, new, pool.map(correct, together), strict=True):
                if made < args.corrections:
                    played, made = played + 1, made + corrected
                    bar.update(int(corrected))
                elif made_now and corrected:  # as many on every machine, however many are played at a time
                    shutil.rmtree(job.bag)
            if played > ENOUGH * (made + args.processes):
                raise InputError(
                    f"{args.model} fails too seldom at {', '.join(tasks)}: {made} corrections in {played} episodes are "
                    f"in {args.out}; give fewer --corrections, or other --tasks"
                )
    print(f"{made} corrections in {played} episodes in {args.out}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
