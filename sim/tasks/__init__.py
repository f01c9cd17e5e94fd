"""The tasks, by name. A kind of task is one file; to add one, imitate drawer.py and name it here."""

from sim.tasks import drawer, lamp, puck, put, slider, stack
from sim.tasks.base import Expert, Task

TASKS: dict[str, Task] = {task.name: task for kind in (put, stack, drawer, lamp, slider, puck) for task in kind.TASKS}

__all__ = ["TASKS", "Expert", "Task"]
