"""Initial states of episodes: at home, where other tasks have just ended, or where the task was just missed."""

from copy import deepcopy
from itertools import islice

import numpy as np

from sim.kinematics import Kinematics
from sim.tasks import SUCCESS_STEPS, TASKS, Expert, Task, demonstrate
from sim.tasks.motions import grip, rise
from sim.tasks.task import Motion
from sim.world import OPEN, World

MISSED = (2, 25)  # control steps before success at which the expert lets go
LEAVING = (14, 30)  # control steps for which the open hand then rises: at the block it would learn to turn away


def start(world: World, task: Task, seed: int, kind: str) -> None:
    """Reset the world from `seed` to a state in which `task` is possible.

    "home": the arm is near its home pose. "other": experts have done one to three other tasks, each until its success
    has held as in an evaluation, or up to a second longer. "near_miss": the task's own expert has let go shortly before
    success, because states that look done and are not are rare elsewhere.
    """
    rng = np.random.default_rng(seed)
    kinematics = Kinematics()
    while True:
        layout = deepcopy(rng)
        world.reset(rng)
        if kind == "other" and not all(_do_another(world, task, kinematics, rng) for _ in range(rng.integers(1, 4))):
            continue
        if kind == "near_miss" and not _miss(world, task, kinematics, rng, layout):
            continue
        if task.possible(world):
            return


def _do_another(world: World, task: Task, kinematics: Kinematics, rng: np.random.Generator) -> bool:
    others = [t for t in TASKS.values() if t.name != task.name and t.possible(world)]
    if not others:
        return False
    other = others[rng.integers(len(others))]
    return any(demonstrate(world, other, kinematics))


def _miss(
    world: World, task: Task, kinematics: Kinematics, rng: np.random.Generator, layout: np.random.Generator
) -> bool:
    """Do the task, reset to the same layout, do it again but let go shortly before success; False where it fails."""
    if not task.possible(world):
        return False
    held = list(demonstrate(world, task, kinematics))
    if not any(held):
        return False
    steps = held.index(True) + 1 - SUCCESS_STEPS - int(rng.integers(*MISSED))
    world.reset(layout)
    expert = Expert(world, _let_go(world, task, steps, int(rng.integers(*LEAVING))), kinematics)
    while (action := expert.act()) is not None:
        world.step(action)
    return True


def _let_go(world: World, task: Task, after: int, rising: int) -> Motion:
    """The task's motion for `after` control steps; then the hand opens and rises for `rising` control steps."""
    yield from islice(task.motion(world), max(0, after))
    yield from grip(world, OPEN)
    yield from islice(rise(world, OPEN), rising)
