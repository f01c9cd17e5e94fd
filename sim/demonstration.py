"""A demonstration: a scripted expert does a task."""

from collections.abc import Iterator

from sim.worlds.interface import Task, World


def demonstrate(world: World, task: Task) -> Iterator[bool]:
    """Let the expert do `task`, one control step for each item: whether its success has held."""
    held = 0
    for _, action in zip(range(task.steps), task.expert(world), strict=False):
        world.step(action)
        held = held + 1 if task.success(world) else 0
        yield held >= world.success_steps
