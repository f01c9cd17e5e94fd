"""Where an episode begins: at home, or where another task has just ended."""

from collections.abc import Iterator

import numpy as np

from sim.kinematics import Kinematics
from sim.tasks import TASKS, Expert, Task
from sim.world import World

HOLD = 10   # control steps for which success must hold


def start(world: World, task: Task, seed: int, kind: str) -> None:
    """Reset with `seed` so that `task` is possible: at "home", or ("other") after one to three other tasks.

    The others are done by their experts, unseen; each is left when its success has held as in an evaluation,
    up to a second later.
    """
    rng = np.random.default_rng(seed)
    kinematics = Kinematics()
    while True:
        world.reset(rng)
        if kind == "other" and not all(_do_another(world, task, kinematics, rng) for _ in range(rng.integers(1, 4))):
            continue
        if task.possible(world):
            return


def _do_another(world: World, task: Task, kinematics: Kinematics, rng: np.random.Generator) -> bool:
    others = [t for t in TASKS.values() if t.name != task.name and t.possible(world)]
    if not others:
        return False
    other = others[rng.integers(len(others))]
    if not any(perform(world, other, kinematics)):
        return False
    return True


def perform(world: World, task: Task, kinematics: Kinematics) -> Iterator[bool]:
    """Let the expert do `task`, a control step at a time; yields whether its success has held."""
    expert, held = Expert(world, task, kinematics), 0
    for _ in range(task.steps):
        action = expert.act()
        if action is None:
            return
        world.step(action)
        held = held + 1 if task.success(world) else 0
        yield held >= HOLD
