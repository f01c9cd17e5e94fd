"""Makes switches from demonstrations: what a policy learns to change its mind from, and no expert has shown.

    python -m sim.switches data/tabletop/demos --out data/tabletop/switches

Demonstrations that share a table are joined in pairs (policy.switching.stitching): one is broken off before, during
or after its contact, and the other goes on. Opposites, like opening and closing the drawer, share none, as each
begins where the other ends: B is then taken from a table where the thing lay at first as A has it at the switch. Each
is replayed from the start in the simulator and kept, as a bag with both instructions, only if it works: B succeeds
and was not true before, what A had taken lies where it was, nothing is dropped or knocked away. Half are pushed about
on the way from one to the other, below the command, so that the policy learns the way back. The same command goes on
where it was.
"""

import argparse
import multiprocessing
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
import yaml

from policy.data.bags import EpisodeWriter, channels, find_bags, read_episodes
from policy.errors import InputError, exit_code
from policy.robot import contract as contracts
from policy.robot.contract import Contract
from policy.spec import MODES
from policy.switching.demonstration import FORWARD, ROLLBACK, Demonstration
from policy.switching.stitching import SwitchStitcher, free_steps
from sim import headless
from sim.demonstration_writer import DemonstrationWriter
from sim.initial_states import start
from sim.record import Push, spread
from sim.scene import BLOCKS
from sim.tasks import HOLD, TASKS
from sim.world import World

LAG = 3  # steps by which this arm follows its commands
PHASES = {"early": 0.6, "mid": 0.75, "late": 0.5}  # chance that a pair is tried in a phase
SHARED_GRASP_TRIES = 8  # tries of a pair that holds the same thing in the same grasp: there are few
AFTER = 20  # steps after A's last contact in which a switch is late
BEFORE = (10, 20)  # steps kept before the contact in which, or else the switch at which, A is broken off
MOVED = 0.025  # m: what has been put back lies this close to where it was
FALLING = 0.6  # m/s: as from 2 cm
ALIKE = 0.01  # m: a thing on two tables lies as close as this


class Job(NamedTuple):
    """One table and what was shown on it."""

    seed: int
    shown: tuple[tuple[str, Path], ...]  # task and bag
    elsewhere: tuple[tuple[str, int, Path], ...]  # task, table and bag, of the opposites of those shown
    out: Path
    shared_grasp: bool


class Shown(NamedTuple):
    """A demonstration of this table and what was said in it."""

    demo: Demonstration
    words: str


# How B was shown, at a step of A in which the switch may be.
Goes = Callable[[int], Shown | None]


class Try(NamedTuple):
    """One switch: what is commanded, in which mode, from the start of A to the end of B."""

    a: str
    b: str
    words: tuple[str, str]
    t: int  # step of the switch
    begin: int  # step with which the bag begins
    joined: int  # step with which B's own commands begin
    near: int  # step from which the hand goes for B's first contact
    actions: np.ndarray  # (N, A)
    mode: np.ndarray  # (N,) into MODES
    restores: bool  # everything must lie where it was when B's own commands begin


class _Refused(Exception):
    """The switch does not work, and why."""


_world: World | None = None
_contract: Contract | None = None


def make(job: Job) -> Counter[str]:
    """All switches of one table; counts of what became of them."""
    global _world, _contract
    if _world is None:
        _world, _contract = World(), contracts.load("tabletop")
    tables = {task: _table(_world, task, job.seed) for task, _ in job.shown}
    shown = {task: _read(bag, _contract) for task, bag in job.shown}
    rng, counts = np.random.default_rng([job.seed, 4]), Counter[str]()
    # what is possible at once decides which table a seed becomes
    pairs: list[tuple[str, str, Goes]] = [
        (a, b, lambda _, b=b: shown[b]) for a in shown for b in shown if a != b and np.array_equal(tables[a], tables[b])
    ]
    pairs += [
        (a, b, _elsewhere(_world, _contract, job, a, b, shown[a].demo.actions))
        for a in shown
        for b in sorted({task for task, *_ in job.elsewhere} - set(shown))
        if opposite(a, b)
    ]
    for a, b, goes in pairs:
        for name, one in _tries((a, b), shown[a], goes, SwitchStitcher(_contract, LAG, job.shared_grasp), rng):
            counts[_keep(_world, _contract, job, one, f"{a}_to_{b}_{job.seed:06d}_{name}")] += 1
    return counts


def opposite(a: str, b: str) -> bool:
    """Whether two tasks move the same thing, each to where the other one takes it from."""
    return a != b and (TASKS[a].kind, TASKS[a].moved_body) == (TASKS[b].kind, TASKS[b].moved_body)


def _elsewhere(world: World, contract: Contract, job: Job, a: str, b: str, actions: np.ndarray) -> Goes:
    """B from another table, for each step of A: one where the thing lay at first as A has it then."""
    others = [(bag, _place(b, seed)) for task, seed, bag in job.elsewhere if task == b]
    rng, found = np.random.default_rng([job.seed, 5]), dict[int, Path]()
    start(world, TASKS[a], job.seed, "home")
    for t, action in enumerate(actions):
        here = world.position(TASKS[b].moved_body)
        alike = [bag for bag, place in others if np.linalg.norm(place - here) < ALIKE]
        if alike and TASKS[b].possible(world):
            found[t] = alike[rng.integers(len(alike))]
        world.step(action)
    read = cache(lambda bag: _read(bag, contract))
    return lambda t: read(found[t]) if t in found else None


@cache
def _place(task: str, seed: int) -> np.ndarray:
    """Where the thing that a task moves lies at first on a table."""
    assert _world is not None
    start(_world, TASKS[task], seed, "home")
    return _world.position(TASKS[task].moved_body)


def _tries(
    pair: tuple[str, str], shown: Shown, goes: Goes, stitcher: SwitchStitcher, rng: np.random.Generator
) -> Iterator[tuple[str, Try]]:
    """Switches from A, as it was shown, to B, each with a name."""
    demo, first = shown
    contacts = demo.contacts()
    if not contacts:
        return
    during = np.concatenate([np.arange(*contact) for contact in contacts])
    last = contacts[-1][1]
    when = {
        "early": np.arange(3, contacts[0][0]),
        "mid": during,
        "late": np.arange(last, min(last + AFTER, len(demo.state))),
    }
    for phase, chance in PHASES.items():
        drawn = int(rng.random() < chance)
        shared = phase == "mid" and any(
            (other := goes(int(t))) and stitcher.shared_grasp_step(demo, int(t), other.demo) is not None for t in during
        )
        for i in range(SHARED_GRASP_TRIES if shared else drawn if len(when[phase]) else 0):
            t = int(rng.choice(when[phase]))
            other = goes(t)
            switch = other and stitcher.stitch(demo, t, other.demo)
            if other is None or switch is None:
                continue
            onset, way = demo.onset(t), int(np.argmax(switch.mode == FORWARD))
            begin = max(0, t - BEFORE[1] if onset is None else onset - BEFORE[0])
            near = t + way + max(0, free_steps(other.demo) - switch.join_step)
            yield (
                f"{phase}{i}",
                Try(
                    *pair,
                    (first, other.words),
                    t,
                    begin,
                    t + way,
                    near,
                    np.concatenate([demo.actions[:t], switch.actions]),
                    np.concatenate([np.full(t, FORWARD, np.uint8), switch.mode]),
                    phase == "early" or ROLLBACK in switch.mode,
                ),
            )


def _keep(world: World, contract: Contract, job: Job, one: Try, name: str) -> str:
    """Write the bag of a switch that works; what became of it."""
    phase, bag = name.rsplit("_", 1)[1][:-1], job.out / name
    try:
        if not bag.exists():
            number = crc32(name.encode())
            _replay(world, job.seed, one, number, None)
            custom = {
                "task": one.b,
                "before": one.a,
                "seed": str(job.seed),
                "switch": phase,
                "pushed": str(bool(number % 2)),
            }
            with EpisodeWriter(bag, channels(contract), custom) as writer:
                _replay(world, job.seed, one, number, DemonstrationWriter(writer, contract, world))
    except _Refused as refused:
        return f"{phase}: {refused}"
    return f"{phase}: kept"


def _replay(world: World, seed: int, one: Try, number: int, messages: DemonstrationWriter | None) -> None:
    """Do a switch from the start, and write it; `_Refused` where it does not work."""
    b, held = TASKS[one.b], 0
    push = Push(np.random.default_rng(number)) if number % 2 else None
    start(world, TASKS[one.a], seed, "home")
    lay = _lay(world, one.a)
    if messages is not None:
        messages.begin()
    for i, (action, mode) in enumerate(zip(one.actions, one.mode, strict=True)):
        if i in (one.t, one.joined) and b.success(world):
            raise _Refused("B is true already")
        if i == one.joined and one.restores and np.abs(_lay(world, one.a) - lay).max() > MOVED:
            raise _Refused("something was moved")
        if messages is not None and i >= one.begin:
            _write(messages, one, i)
        world.step(action, push() if push is not None and one.t <= i < one.near else None)
        if mode == ROLLBACK and any(world.data.joint(body).qvel[2] < -FALLING for body in BLOCKS):
            raise _Refused("dropped")
        held = held + 1 if b.success(world) else 0
    if held < HOLD:
        raise _Refused("B fails")


def _write(messages: DemonstrationWriter, one: Try, i: int) -> None:
    """What is said, seen and commanded at a step."""
    if i == one.begin:
        messages.instruction(one.words[0], one.a)
    if i == one.t:
        messages.instruction(one.words[1], one.b)
    if i == one.begin or one.mode[i] != one.mode[i - 1]:
        messages.mode(MODES[one.mode[i]])
    messages.observation()
    messages.command(one.actions[i])


def _table(world: World, task: str, seed: int) -> np.ndarray:
    """Where everything is when a demonstration from home begins."""
    start(world, TASKS[task], seed, "home")
    return np.concatenate([world.data.qpos, world.model.body_pos.ravel(), [world.lamp]])


def _lay(world: World, a: str) -> np.ndarray:
    """Where the loose things lie, except a puck that is being pushed."""
    loose = BLOCKS if a.startswith("puck") else (*BLOCKS, "puck")
    return np.stack([world.position(body) for body in loose])


def _read(bag: Path, contract: Contract) -> Shown:
    episode = read_episodes(bag, contract)[0]
    assert episode.contact is not None
    commanded = [contract.spec.state.index(name) for name in contract.spec.action]
    return Shown(Demonstration(episode.state[:, commanded], episode.actions, episode.contact), episode.instruction)


def plan(demonstrations: Path, out: Path, shared_grasp: bool = True) -> list[Job]:
    """The tables on which tasks were shown, undisturbed and from home; `shared_grasp` as in `SwitchStitcher`."""
    tables: dict[int, list[tuple[str, Path]]] = {}
    for bag in find_bags(demonstrations):
        told = yaml.load((bag / "metadata.yaml").read_text(), yaml.CSafeLoader)
        custom = told["rosbag2_bagfile_information"].get("custom_data") or {}
        if custom.get("start") == "home" and custom.get("pushed") == "False":
            tables.setdefault(int(custom["seed"]), []).append((custom["task"], bag))
    every = [(task, seed, bag) for seed, shown in sorted(tables.items()) for task, bag in shown]
    jobs = [
        Job(
            seed,
            tuple(shown),
            tuple(one for one in every if any(opposite(task, one[0]) for task, _ in shown)),
            out,
            shared_grasp,
        )
        for seed, shown in sorted(tables.items())
    ]
    return [job for job in jobs if len(job.shown) > 1 or job.elsewhere]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m sim.switches", description=__doc__.split("\n")[0])
    parser.add_argument("demonstrations", type=Path, help="folder of bags, as sim.record writes them")
    parser.add_argument("--out", type=Path, required=True, help="folder for the bags of switches")
    parser.add_argument(
        "--no-shared-grasp", action="store_true", help="begin B always at its start (for the ablation of shared grasps)"
    )
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    args = parser.parse_args()
    headless.require()
    jobs = plan(args.demonstrations, args.out, not args.no_shared_grasp)
    if not jobs:
        raise InputError(
            f"no table in {args.demonstrations} on which two tasks were shown from home, undisturbed; "
            "record some with `python -m sim.record --tasks all --episodes 12`"
        )
    args.out.mkdir(parents=True, exist_ok=True)
    counts = sum(spread(make, jobs, args.processes, "table"), Counter[str]())
    for what, count in sorted(counts.items()):
        print(f"{count:6d}  {what}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
