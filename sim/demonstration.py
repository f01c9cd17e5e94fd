"""A demonstration: a scripted expert does a task."""

from collections.abc import Iterator

from sim.worlds.interface import SUCCESS_STEPS, Task, World


def demonstrate(world: World, task: Task) -> Iterator[bool]:
    """Let the expert do `task`, one control step for each item: whether success has held for SUCCESS_STEPS steps."""
    held = 0
    for _, action in zip(range(task.steps), task.expert(world), strict=False):
        world.step(action)
        held = held + 1 if task.success(world) else 0
        yield held >= SUCCESS_STEPS
