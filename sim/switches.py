"""Makes switches from demonstrations: from them a policy learns to change its task mid-execution.

    python -m sim.switches data/tabletop/demos --out data/tabletop/switches

Demonstrations from one layout are stitched in pairs (policy.switching.stitching): task A is interrupted before, during
or after its contact, and task B follows. Opposites, like opening and closing the drawer, share no layout, as each
begins where the other one ends: B is then taken from a layout in which the object lay at first as A has it at the
switch. Each candidate is replayed in the simulator and kept, as a bag with both instructions, only if it works: B
succeeds and was not done before, A's object is back in its place, nothing is dropped. Half are disturbed on the way
from A to B, below the command, so that the policy learns to recover. Late ones that cannot be replayed, as A has
moved what B takes, are done by the experts of both (sim.late_switches): three in ten are tried, and more
until a layout has as many late ones as mid ones. The same command continues where it stopped.
"""

import argparse
import multiprocessing
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np

from policy import folders
from policy.data.bag_files import bags_in, custom_data, find_bags
from policy.errors import InputError, exit_code
from policy.robot.contract import Contract
from policy.switching.stitching import SwitchStitcher
from sim import headless
from sim.cluster import add_argument
from sim.initial_states import start
from sim.job_queue import run_jobs
from sim.late_switches import PROBABILITY, keep_by_experts
from sim.switch_candidates import (
    DemonstrationAt,
    InstructedDemonstration,
    candidates,
    opposite,
    opposite_at,
    read_demonstration,
)
from sim.switch_replay import keep
from sim.worlds import DEFAULT, load
from sim.worlds.interface import World


class LayoutJob(NamedTuple):
    """One layout and its demonstrations."""

    seed: int
    shown: tuple[tuple[str, Path], ...]  # task and bag
    opposites: tuple[tuple[str, int, Path], ...]  # task, seed and bag of their opposites from other layouts
    out: Path
    shared_grasp: bool
    world: str = DEFAULT
    varied: bool = True  # the look, as in sim.record


@cache
def _world(name: str) -> World:
    """Made once in each process."""
    return load(name)()


def make(job: LayoutJob) -> Counter[str]:
    """Make all switches of one layout; counts how many were kept, and why others were not."""
    world = _world(job.world)
    contract = world.contract()
    shown = {task: read_demonstration(bag, contract) for task, bag in job.shown}
    rng, counts = np.random.default_rng([job.seed, 4]), Counter[str]()
    stitcher = SwitchStitcher(contract, world.lag, job.shared_grasp)
    kept, without_late = Counter[str](), list[tuple[float, str, tuple[str, str]]]()
    for a, b, other_at in _pairs(job, shown, world, contract):
        pair, before = f"{a}_to_{b}_{job.seed:06d}", kept["late"]
        for name, candidate in candidates((a, b), shown[a], other_at, stitcher, rng):
            phase = name.rstrip("0123456789")
            bag = job.out / f"{pair}_{name}"
            outcome = keep(world, contract, bag, phase, job.seed, candidate, job.varied, job.shared_grasp)
            counts[f"{phase}: {outcome}"] += 1
            kept[phase] += outcome == "kept"
        if kept["late"] == before:
            drawn = np.random.default_rng([job.seed, crc32(pair.encode())]).random()
            without_late.append((drawn, pair, (a, b)))
    for drawn, pair, (a, b) in sorted(without_late):
        if drawn < PROBABILITY or kept["late"] < kept["mid"]:
            bag = job.out / f"{pair}_late_experts"
            outcome = keep_by_experts(world, contract, bag, (a, b), job.seed, shown[a].bag, job.varied)
            counts[f"late: {outcome}"] += 1
            kept["late"] += outcome == "kept by experts"
    return counts


def _pairs(
    job: LayoutJob, shown: dict[str, InstructedDemonstration], world: World, contract: Contract
) -> list[tuple[str, str, DemonstrationAt]]:
    """A, B and B's demonstrations: of this layout, or of others where B is an opposite of A."""

    def always(demonstration: InstructedDemonstration) -> DemonstrationAt:
        return lambda _: demonstration

    # One seed gives tasks different layouts where the first one drawn does not allow them all.
    states = {task: _initial_state(world, task, job.seed) for task in shown}
    pairs = [(a, b, always(shown[b])) for a in shown for b in shown if a != b and np.array_equal(states[a], states[b])]
    for a in shown:
        for b in sorted(
            {task for task, *_ in job.opposites if opposite(world.tasks[a], world.tasks[task])} - set(shown)
        ):
            others = [(seed, bag) for task, seed, bag in job.opposites if task == b]
            pairs.append((a, b, opposite_at(world, contract, a, job.seed, shown[a].demo.actions, b, others)))
    return pairs


def _initial_state(world: World, task: str, seed: int) -> np.ndarray:
    """Everything that tells the layout of a task from another."""
    start(world, world.tasks[task], seed, "home")
    return world.layout()


def plan(
    demonstrations: Path, out: Path, shared_grasp: bool = True, world: str = DEFAULT, varied: bool = True
) -> list[LayoutJob]:
    """The layouts with undisturbed demonstrations from home; `shared_grasp` as in `SwitchStitcher`."""
    tasks, layouts = load(world).tasks, dict[int, list[tuple[str, Path]]]()
    for bag in find_bags(demonstrations):
        custom = custom_data(bag)
        if custom.get("start") == "home" and custom.get("pushed") == "False" and custom["task"] in tasks:
            layouts.setdefault(int(custom["seed"]), []).append((custom["task"], bag))
    every = [(task, seed, bag) for seed, shown in sorted(layouts.items()) for task, bag in shown]
    jobs = [
        LayoutJob(
            seed,
            tuple(shown),
            tuple(other for other in every if any(opposite(tasks[task], tasks[other[0]]) for task, _ in shown)),
            out,
            shared_grasp,
            world,
            varied,
        )
        for seed, shown in sorted(layouts.items())
    ]
    return [job for job in jobs if len(job.shown) > 1 or job.opposites]


def refuse_others(out: Path, world: str, varied: bool, shared_grasp: bool) -> None:
    """`InputError` where a folder holds switches of another world, or made with other options."""
    wanted = {"world": world, "varied": str(varied), "shared_grasp": str(shared_grasp)}
    for bag in bags_in(out):
        noted = custom_data(bag)
        for what, value in wanted.items():
            if noted.get(what, value) != value:
                raise InputError(
                    f"{bag} was made with {what} {noted[what]}, and {what} {value} is asked for; "
                    f"give another folder than {out}"
                )


def main() -> None:
    """Make the switches that do not exist yet."""
    parser = argparse.ArgumentParser(prog="python -m sim.switches", description=__doc__.split("\n")[0])
    parser.add_argument("demonstrations", type=Path, help="folder of bags, as sim.record writes them")
    parser.add_argument("--out", type=Path, required=True, help="folder for the bags of switches")
    parser.add_argument(
        "--no-shared-grasp", action="store_true", help="begin B always at its start (for the ablation of shared grasps)"
    )
    parser.add_argument("--world", default=DEFAULT, help="a name in sim/worlds")
    parser.add_argument("--plain", action="store_true", help="do not vary lights, colours, cameras and objects")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    add_argument(parser)
    args = parser.parse_args()
    headless.require()
    load(args.world).require_several_tasks()
    refuse_others(args.out, load(args.world).name, not args.plain, not args.no_shared_grasp)
    jobs = plan(args.demonstrations, args.out, not args.no_shared_grasp, args.world, not args.plain)
    if not jobs:
        raise InputError(
            f"no layout in {args.demonstrations} has undisturbed demonstrations of two tasks from home; "
            f"record some with `python -m sim.record --world {args.world} --tasks all --episodes 12 "
            f"--out {args.demonstrations}`"
        )
    folders.make(args.out)
    counts = sum(run_jobs(make, jobs, args.processes, "layout", args.ray), Counter[str]())
    for outcome, count in sorted(counts.items()):
        print(f"{count:6d}  {outcome}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
