"""A demonstration: a scripted expert does a task."""

from collections.abc import Callable, Iterator

import numpy as np

from sim.worlds.interface import Task, World


def demonstrate(
    world: World,
    task: Task,
    write: Callable[[np.ndarray], None] = lambda action: None,
    disturbance: Callable[[], np.ndarray | None] = lambda: None,
) -> Iterator[bool]:
    """Let the expert do `task`, one control step for each item: whether its success has held.

    `write` is called with the set-points (A,) of a step before it; `disturbance` gives what is added to them unseen.
    """
    held = 0
    for _, action in zip(range(task.steps), task.expert(world), strict=False):
        write(action)
        world.step(action, disturbance())
        held = held + 1 if task.success(world) else 0
        yield held >= world.success_steps
