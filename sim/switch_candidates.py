"""Candidates of switches, stitched from recorded demonstrations; sim.switch_replay says which of them work."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from policy.data.episodes import read_episodes
from policy.robot.contract import Contract
from policy.switching.demonstration import FORWARD, ROLLBACK, Demonstration
from policy.switching.stitching import SwitchStitcher, free_steps
from sim.initial_states import start
from sim.worlds.interface import Task, World

PHASES = {"early": 0.6, "mid": 0.75, "late": 0.5}  # probability that a pair is tried in a phase
SHARED_GRASP_TRIES = 8  # tries of a pair that holds the same object in the same grasp: such pairs are few
DELAYS = 5  # A goes on for 0 .. DELAYS - 1 steps after the instruction, as on a robot until the answer is there
LATE_STEPS = 20  # steps after A's last contact in which a switch is late
LEAD_IN = (10, 20)  # steps of the bag before A's contact; before the switch, if A has no contact then
SAME_PLACE = 0.01  # m: two layouts have an object in the same place


class InstructedDemonstration(NamedTuple):
    """A demonstration and its instruction."""

    demo: Demonstration
    instruction: str
    bag: str  # its name


# The demonstration of B that fits a switch at this step of A; None where none fits.
DemonstrationAt = Callable[[int], InstructedDemonstration | None]


class Candidate(NamedTuple):
    """One switch from the start of A to the end of B: N steps, of which the bag holds those from `first_step` on.

    0 ........... first_step ....... switch_step ........ join_step ...... approach_step ....... N
      A, not written    A's instruction |  rollback, advance  | B's own set-points
                                        |-- `delay`: A's own motion goes on
    """

    a: str
    b: str
    instructions: tuple[str, str]
    switch_step: int
    first_step: int
    join_step: int
    approach_step: int  # from here on the hand approaches B's first contact
    actions: np.ndarray  # (N, A)
    mode: np.ndarray  # (N,) into MODES
    restores: bool  # every object must be back in its place at `join_step`
    bags: tuple[str, ...] = ()  # the demonstrations that it is made of
    delay: int = 0  # steps


def read_demonstration(bag: Path, contract: Contract) -> InstructedDemonstration:
    """The first episode of a bag, reduced to the joints that are commanded."""
    episode = read_episodes(bag, contract)[0]
    assert episode.contact is not None
    return InstructedDemonstration(
        Demonstration(episode.state[:, contract.positions], episode.actions, episode.contact),
        episode.instruction,
        bag.name,
    )


def candidates(
    pair: tuple[str, str],
    shown: InstructedDemonstration,
    other_at: DemonstrationAt,
    stitcher: SwitchStitcher,
    rng: np.random.Generator,
) -> Iterator[tuple[str, Candidate]]:
    """Name and candidate of each switch from A, as demonstrated, to B; the name is its phase and a number."""
    demo = shown.demo
    steps = _switch_steps(demo)
    if steps is None:
        return
    for phase, probability in PHASES.items():
        drawn = int(rng.random() < probability)
        shared = phase == "mid" and any(
            (other := other_at(int(t))) and stitcher.shared_grasp_step(demo, int(t), other.demo) is not None
            for t in steps["mid"]
        )
        for i in range(SHARED_GRASP_TRIES if shared else drawn if len(steps[phase]) else 0):
            t = int(rng.choice(steps[phase]))
            other = other_at(t)
            delay = min(int(rng.integers(DELAYS)), t)
            if other is not None and (candidate := _stitch(pair, shown, t, delay, other, stitcher, phase == "early")):
                yield f"{phase}{i}", candidate


def _switch_steps(demo: Demonstration) -> dict[str, np.ndarray] | None:
    """The steps of A at which a switch of each phase can be; None for a demonstration without contact."""
    contacts = demo.contacts()
    if not contacts:
        return None
    last = contacts[-1][1]
    return {
        "early": np.arange(3, contacts[0][0]),
        "mid": np.concatenate([np.arange(*contact) for contact in contacts]),
        "late": np.arange(last, min(last + LATE_STEPS, len(demo.state))),
    }


def _stitch(
    pair: tuple[str, str],
    shown: InstructedDemonstration,
    t: int,
    delay: int,
    other: InstructedDemonstration,
    stitcher: SwitchStitcher,
    early: bool,
) -> Candidate | None:
    """The switch that leaves A at its step t, `delay` steps after the instruction; None where B begins in contact."""
    demo = shown.demo
    switch = stitcher.stitch(demo, t, other.demo)
    if switch is None:
        return None
    onset, join_step = demo.onset(t), t + int(np.argmax(switch.mode == FORWARD))
    mode = np.concatenate([np.full(t, FORWARD, np.uint8), switch.mode])
    mode[t - delay : t] = switch.mode[0]  # what the answer will be
    return Candidate(
        *pair,
        instructions=(shown.instruction, other.instruction),
        switch_step=t - delay,
        first_step=max(0, min(t - delay, t - LEAD_IN[1] if onset is None else onset - LEAD_IN[0])),
        join_step=join_step,
        approach_step=join_step + max(0, free_steps(other.demo) - switch.join_step),
        actions=np.concatenate([demo.actions[:t], switch.actions]),
        mode=mode,
        delay=delay,
        restores=early or ROLLBACK in switch.mode,
        bags=(shown.bag, other.bag),
    )


def opposite(a: Task, b: Task) -> bool:
    """Whether two tasks move the same object, each to where the other one takes it from."""
    return a.name != b.name and (a.kind, a.moved_body) == (b.kind, b.moved_body)


def opposite_at(
    world: World, contract: Contract, a: str, seed: int, actions: np.ndarray, b: str, others: list[tuple[int, Path]]
) -> DemonstrationAt:
    """Demonstrations of B from other layouts, for each step of A: one whose object lay at first as A has it then.

    `actions` (T, A) are A's, from layout `seed`; `others` are seed and bag of the demonstrations of B.
    """
    body, rng, found = world.tasks[b].moved_body, np.random.default_rng([seed, 5]), dict[int, Path]()
    places = [(bag, _initial_position(world, b, other)) for other, bag in others]
    start(world, world.tasks[a], seed, "home")
    for t, action in enumerate(actions):
        here = world.position(body)
        same = [bag for bag, place in places if np.linalg.norm(place - here) < SAME_PLACE]
        if same and world.tasks[b].possible(world):
            found[t] = same[rng.integers(len(same))]
        world.step(action)
    read = cache(lambda bag: read_demonstration(bag, contract))
    return lambda t: read(found[t]) if t in found else None


@cache
def _initial_position(world: World, task: str, seed: int) -> np.ndarray:
    """Where the object of a task lies at first in a layout, (3,) m."""
    start(world, world.tasks[task], seed, "home")
    return world.position(world.tasks[task].moved_body)
