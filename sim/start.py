"""Where an episode begins: at home, where another task has just ended, or where the task itself was just missed."""

from collections.abc import Iterator
from copy import deepcopy
from itertools import islice

import numpy as np

from sim.kinematics import Kinematics
from sim.tasks import TASKS, Expert, Task
from sim.tasks.base import Motion, grip, rise
from sim.world import OPEN, World

HOLD = 10  # control steps for which success must hold
MISSED = (2, 25)  # control steps before success at which a missed try is broken off
LEAVING = (14, 30)  # control steps in which the open hand rises, to the top: at the thing it would learn to turn away


def start(world: World, task: Task, seed: int, kind: str) -> None:
    """Reset with `seed` so that `task` is possible: at "home", or ("other") after one to three other tasks.

    The others are done by their experts, unseen; each is left when its success has held as in an evaluation,
    up to a second later. "again": the task's own expert has let go shortly before it was done; what looks like the
    end and is not is rare elsewhere.
    """
    rng = np.random.default_rng(seed)
    kinematics = Kinematics()
    while True:
        table = deepcopy(rng)
        world.reset(rng)
        if kind == "other" and not all(_do_another(world, task, kinematics, rng) for _ in range(rng.integers(1, 4))):
            continue
        if kind == "again" and not _miss(world, task, kinematics, rng, table):
            continue
        if task.possible(world):
            return


def _miss(
    world: World, task: Task, kinematics: Kinematics, rng: np.random.Generator, table: np.random.Generator
) -> bool:
    """Do the task on this table, then once more, but let go shortly before it is done; False where that cannot be."""
    if not task.possible(world):
        return False
    held = list(perform(world, task, kinematics))
    if not any(held):
        return False
    steps = held.index(True) + 1 - HOLD - int(rng.integers(*MISSED))
    world.reset(table)
    expert = Expert(world, _let_go(world, task, steps, int(rng.integers(*LEAVING))), kinematics)
    while (action := expert.act()) is not None:
        world.step(action)
    return True


def _let_go(world: World, task: Task, after: int, rising: int) -> Motion:
    """The task's motion for `after` control steps; then the hand opens and rises for `rising`."""
    yield from islice(task.motion(world), max(0, after))
    yield from grip(world, OPEN)
    yield from islice(rise(world, OPEN), rising)


def _do_another(world: World, task: Task, kinematics: Kinematics, rng: np.random.Generator) -> bool:
    others = [t for t in TASKS.values() if t.name != task.name and t.possible(world)]
    if not others:
        return False
    other = others[rng.integers(len(others))]
    return any(perform(world, other, kinematics))


def perform(world: World, task: Task, kinematics: Kinematics) -> Iterator[bool]:
    """Let the expert do `task`, a control step at a time; yields whether its success has held."""
    expert, held = Expert(world, task.motion(world), kinematics), 0
    for _ in range(task.steps):
        action = expert.act()
        if action is None:
            return
        world.step(action)
        held = held + 1 if task.success(world) else 0
        yield held >= HOLD
