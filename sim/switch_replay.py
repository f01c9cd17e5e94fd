"""Replays a candidate of a switch in the simulator and writes the bag of one that works."""

from pathlib import Path
from zlib import crc32

import numpy as np

from policy.data.bag_writer import BagExists, EpisodeWriter, channels
from policy.robot.contract import Contract
from policy.spec import MODES
from policy.switching.demonstration import ROLLBACK
from sim.demonstration_writer import DemonstrationWriter
from sim.disturbance import Disturbance
from sim.initial_states import start
from sim.shifts import vary
from sim.switch_candidates import Candidate
from sim.worlds.interface import Task, World

MOVED = 0.025  # m: an object that has been put back lies this close to its former place
FALLING = 0.6  # m/s: as after a fall of 2 cm


class Rejected(Exception):
    """The switch does not work; the message says why."""


def keep(
    world: World,
    contract: Contract,
    bag: Path,
    phase: str,
    seed: int,
    candidate: Candidate,
    varied: bool = True,
    shared_grasp: bool = True,
) -> str:
    """Write the bag of a candidate that works, unless it exists; "kept", or why the candidate was rejected."""
    if bag.exists():
        return "kept"
    number = crc32(bag.name.encode())
    custom = {
        "task": candidate.b,
        "before": candidate.a,
        "seed": str(seed),
        "switch": phase,
        "delay": str(candidate.delay),
        "pushed": str(bool(number % 2)),
        "from": ",".join(candidate.bags),
        "world": world.name,
        "varied": str(varied),
        "shared_grasp": str(shared_grasp),
    }
    try:
        custom["look"] = replay(world, seed, candidate, number, varied=varied)
        with EpisodeWriter(bag, channels(contract), custom) as file:
            replay(world, seed, candidate, number, DemonstrationWriter(file, contract, world), varied)
    except Rejected as reason:
        return str(reason)
    except BagExists:  # another command was first
        return "kept"
    return "kept"


def replay(
    world: World,
    seed: int,
    candidate: Candidate,
    number: int,
    writer: DemonstrationWriter | None = None,
    varied: bool = False,
) -> str:
    """Execute a candidate from layout `seed`, disturbed on the way to B where `number` is odd; its look, in words.

    Raises `Rejected` where B is done before its turn or not done in the end, an object falls or is not put back.
    """
    a, b, held = world.tasks[candidate.a], world.tasks[candidate.b], 0
    disturbance = Disturbance(np.random.default_rng(number), world.grippers) if number % 2 else None
    start(world, a, seed, "home")
    look = vary(world, np.random.default_rng([number, 6])) if varied else "plain"
    before = _positions(world, a)
    if writer is not None:
        writer.begin()
    for i, (action, mode) in enumerate(zip(candidate.actions, candidate.mode, strict=True)):
        if i in (candidate.switch_step, candidate.join_step) and b.success(world):
            raise Rejected("B is already done")
        restored = i == candidate.join_step and candidate.restores
        if restored and np.abs(_positions(world, a) - before).max() > MOVED:
            raise Rejected("an object was moved")
        if writer is not None and i >= candidate.first_step:
            _write(writer, candidate, i)
        disturbed = disturbance is not None and candidate.switch_step <= i < candidate.approach_step
        world.step(action, disturbance() if disturbance is not None and disturbed else None)
        if mode == ROLLBACK and any(world.fall_speed(body) > FALLING for body in world.loose_bodies):
            raise Rejected("an object was dropped")
        held = held + 1 if b.success(world) else 0
    if held < world.success_steps:
        raise Rejected("B failed")
    return look


def _write(writer: DemonstrationWriter, candidate: Candidate, i: int) -> None:
    """The messages of step i."""
    if i == candidate.first_step:
        writer.instruction(candidate.instructions[0], candidate.a)
    if i == candidate.switch_step:
        writer.instruction(candidate.instructions[1], candidate.b)
    if i == candidate.first_step or candidate.mode[i] != candidate.mode[i - 1]:
        writer.mode(MODES[candidate.mode[i]])
    writer.step(candidate.actions[i])


def _positions(world: World, a: Task) -> np.ndarray:
    """Where the loose objects lie (N, 3) m, without one that A does not put back."""
    return np.stack([world.position(body) for body in world.loose_bodies if a.restored or body != a.moved_body])
