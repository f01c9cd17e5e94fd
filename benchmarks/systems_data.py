"""Recordings with the difficulties that the systems exist for, from seeds; without pictures but for `pictures_*`.

    python -m benchmarks.systems_data --out data/systems [--only mixed play ...]

    tasks      four tasks, also from where the scene does not show which: slider left and right, drawer open and shut
    few        fifteen demonstrations of each of them
    held_out   twenty demonstrations of a task that is in none of the others
    mixed      the four tasks, in half of the recordings left off on the way and marked as failures
    noisy      the four tasks; in 30 % of the time what is recorded as commanded is wrong
    play       several of the tasks in a row, in any order, under one word
    modes      round a block to the left or to the right
    cue        the lamp blinks once or twice, which decides what is done after it
    pictures_<kind>   tasks, few and held_out from two cameras: the state holds the arm alone

Existing bags are not recorded again, so that the same command continues.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path

import numpy as np

from policy.data.bag_writer import BagExists, EpisodeWriter
from policy.errors import InputError, exit_code
from sim import record
from sim.demonstration import demonstrate
from sim.demonstration_writer import DemonstrationWriter, recorded_channels
from sim.initial_states import start
from sim.job_queue import run_jobs
from sim.worlds import load
from sim.worlds.interface import Task, World

WORLD, PICTURES = "tabletop_states", "pictures_"
TASKS = ("slider_left", "slider_right", "open_drawer", "close_drawer")
HELD_OUT = "lamp_on"
CUE, MODES = "do_what_the_lamp_said", "round_block"
EPISODES = {"tasks": 120, "few": 15, "held_out": 20, "modes": 200, "cue": 300}  # of each task, by sim.record
EPISODES |= {PICTURES + "tasks": 60, PICTURES + "few": 15, PICTURES + "held_out": 20}
MADE = {"mixed": 480, "noisy": 480, "play": 150}  # recordings
WITH_FAILURES = ("mixed",)  # kinds
PLAYED = 5  # tasks of a recording of play
ATTEMPTS = 10
LEFT_OFF = (0.2, 0.7)  # share of the steps to success after which a recording that fails stands still
STANDS = 40  # control steps for which it then does
WRONG, BLOCK, SPREAD = 0.3, 8, 0.25  # share of the time, control steps at once and rad of what is recorded wrongly
PLAY = "play"


@dataclass(frozen=True)
class Job:
    """One recording of a kind in MADE."""

    kind: str
    number: int
    bag: Path


def named(kind: str) -> tuple[str, ...]:
    """The tasks that recordings of a kind hold."""
    return {"held_out": (HELD_OUT,), "modes": (MODES,), "cue": (CUE,)}.get(kind.removeprefix(PICTURES), TASKS)


def world_of(kind: str) -> str:
    """The world in which recordings of a kind are made; its contract has the same name."""
    return "tabletop" if kind.startswith(PICTURES) else WORLD


def make(kind: str, out: Path, processes: int) -> Path:
    """The folder of a kind, recorded as far as it is not there."""
    folder = out / kind
    if kind in EPISODES:
        asked = {"tasks": ",".join(named(kind)), "episodes": EPISODES[kind], "out": folder}
        asked |= {"world": world_of(kind), "processes": processes}
        options = [part for key, value in asked.items() for part in (f"--{key}", str(value))]
        record.main([*options, "--plain"])
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [Job(kind, i, folder / f"{kind}_{i:04d}") for i in range(MADE[kind])]
    for _ in run_jobs(write, [job for job in jobs if not job.bag.exists()], processes, "recording"):
        pass
    return folder


def write(job: Job) -> None:
    """Write one recording; another layout is drawn where the expert fails."""
    for attempt in range(ATTEMPTS):
        if job.bag.exists():  # another command was first
            return
        try:
            if _attempt(_world(), job, 500_000 + job.number + 1000 * attempt):
                return
        except BagExists:  # it was first while the layout was drawn
            return
    raise InputError(f"the expert failed from {ATTEMPTS} layouts of {job.bag.name}; correct it in sim/worlds/tabletop")


@cache
def _world() -> World:
    """Made once in each process."""
    return load(WORLD)()


def _attempt(world: World, job: Job, seed: int) -> bool:
    rng = np.random.default_rng([seed, 7])
    task = world.tasks[TASKS[job.number % len(TASKS)]]
    kind = "undecided" if job.kind != PLAY and job.number % 3 == 0 else "home"
    start(world, task, seed, kind)
    fails = job.kind in WITH_FAILURES and job.number // len(TASKS) % 2 == 1
    needed = next((step for step, held in enumerate(demonstrate(world, task), 1) if held), 0) if fails else 0
    if fails:
        if not needed:
            return False
        start(world, task, seed, kind)
    custom = {"seed": str(seed), "task": job.kind} | (
        {"success": str(not fails).lower()} if job.kind in WITH_FAILURES else {}
    )
    try:
        with EpisodeWriter(job.bag, recorded_channels(world), custom) as bag:
            writer = DemonstrationWriter(bag, world.contract(), world)
            if job.kind == PLAY:
                writer.instruction(PLAY, PLAY)
                for _ in range(PLAYED):
                    possible = [world.tasks[name] for name in TASKS if world.tasks[name].possible(world)]
                    if possible and not _follow(world, possible[rng.integers(len(possible))], writer, None):
                        raise _ExpertFailed
            else:
                writer.instruction(task.phrasings[rng.integers(len(task.phrasings))], task.name)
                wrong = rng if job.kind == "noisy" else None
                if fails:
                    _leave_off(world, task, writer, int(rng.uniform(*LEFT_OFF) * needed))
                elif not _follow(world, task, writer, wrong):
                    raise _ExpertFailed
    except _ExpertFailed:
        return False
    return True


def _follow(world: World, task: Task, writer: DemonstrationWriter, wrong: np.random.Generator | None) -> bool:
    """Write what the expert does, or something else where it is to be `wrong`; whether success holds in the end."""
    steps, offset = count(), np.zeros(8)

    def write(action: np.ndarray) -> None:
        if wrong is not None and next(steps) % BLOCK == 0:
            offset[:7] = wrong.normal(0, SPREAD, 7) if wrong.random() < WRONG else 0.0
        writer.step(action + offset)

    *_, held = False, *demonstrate(world, task, write)
    return held


def _leave_off(world: World, task: Task, writer: DemonstrationWriter, moving: int) -> None:
    """Write the first steps of what the expert does; then the arm stands still, and the task is not done."""
    for action in _held(task.expert(world), moving, moving + STANDS):
        writer.step(action)
        world.step(action)
    if task.success(world):
        raise _ExpertFailed


def _held(actions: Iterator[np.ndarray], moving: int, steps: int) -> Iterator[np.ndarray]:
    """The first `moving` actions, and the last of them again until there are `steps`."""
    last = next(actions)
    for step in range(steps):
        yield last
        last = next(actions, last) if step < moving else last


class _ExpertFailed(Exception):
    """The bag is not kept."""


def main() -> None:
    """Record what does not exist yet."""
    kinds = [*EPISODES, *MADE]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.systems_data", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="a folder for each kind is made in it")
    parser.add_argument("--only", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    for kind in args.only:
        print(f"{kind}: {make(kind, args.out, args.processes)}", flush=True)


if __name__ == "__main__":
    sys.exit(exit_code(main))
