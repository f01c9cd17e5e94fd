"""Switches after A is done, both tasks by their experts.

A demonstration of B cannot be replayed where A has moved what B takes, or where the hand is still full, as where a
single step is success. So A's expert lets go and leaves after the instruction, and B's begins there.
"""

from pathlib import Path
from zlib import crc32

import numpy as np

from policy.data.bag_writer import BagExists, EpisodeWriter, channels
from policy.robot.contract import Contract
from sim.demonstration import demonstrate
from sim.demonstration_writer import DemonstrationWriter
from sim.initial_states import start
from sim.shifts import vary
from sim.switch_candidates import LATE_STEPS, LEAD_IN
from sim.switch_replay import Rejected
from sim.worlds.interface import World

PROBABILITY = 0.3  # that a pair of which no late switch could be replayed is tried, however many there are


def keep_by_experts(
    world: World, contract: Contract, bag: Path, pair: tuple[str, str], seed: int, shown: str, varied: bool = True
) -> str:
    """Write the bag of a late switch that works, unless it exists; "kept by experts", or why it was rejected.

    `shown` is the name of the bag that demonstrates A in layout `seed`: both are held out together.
    """
    outcome = "kept by experts"
    if bag.exists():
        return outcome
    custom = {"task": pair[1], "before": pair[0], "seed": str(seed), "switch": "late", "pushed": "False", "from": shown}
    custom |= {"world": world.name, "varied": str(varied)}
    try:
        custom["look"], asked_at = _perform(world, pair, seed, bag.name, varied)
        with EpisodeWriter(bag, channels(contract), custom) as file:
            _perform(world, pair, seed, bag.name, varied, DemonstrationWriter(file, contract, world), asked_at)
    except Rejected as reason:
        return str(reason)
    except BagExists:  # another command was first
        return outcome
    return outcome


def _perform(
    world: World,
    pair: tuple[str, str],
    seed: int,
    name: str,
    varied: bool,
    writer: DemonstrationWriter | None = None,
    asked_at: int | None = None,
) -> tuple[str, int]:
    """Do A and B from layout `seed`; the look, in words, and the step at which B is asked for.

    That step is drawn after A's success has held, unless it is given, as it must be for a writer: the bag begins
    before it. Raises `Rejected` where A fails, or where B is done before its turn, impossible or not done in the end.
    """
    a, b = (world.tasks[task] for task in pair)
    number, step, done = crc32(name.encode()), 0, False
    rng = np.random.default_rng([number, 7])
    sentences = [task.phrasings[rng.integers(len(task.phrasings))] for task in (a, b)]
    delay = int(rng.integers(1, LATE_STEPS))
    start(world, a, seed, "home")
    look = vary(world, np.random.default_rng([number, 6])) if varied else "plain"
    if writer is not None:
        writer.begin()

    def write(action: np.ndarray) -> None:
        nonlocal step
        first = 0 if asked_at is None else max(0, asked_at - LEAD_IN[1])
        if writer is not None and step >= first:
            if step == first:
                writer.instruction(sentences[0], a.name)
                writer.mode("forward")
            if step == asked_at:
                writer.instruction(sentences[1], b.name)
                writer.mode("advance")
            writer.step(action)
        step += 1

    for held in demonstrate(world, a, write):
        if held and asked_at is None:
            asked_at = step + delay
    if asked_at is None:
        raise Rejected("A failed")
    if b.success(world):
        raise Rejected("B is already done")
    if not b.possible(world):
        raise Rejected("B is not possible")
    if writer is not None:
        writer.mode("forward")
    asked_at = min(asked_at, step - 1)  # before A's expert comes to its end
    for held in demonstrate(world, b, write):
        done = held
    if not done:
        raise Rejected("B failed")
    return look, asked_at
