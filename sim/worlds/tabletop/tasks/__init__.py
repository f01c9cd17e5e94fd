"""The tasks, by name. One file for each kind of task; to add one, imitate drawer.py and name it here."""

from sim.worlds.tabletop.tasks import drawer, lamp, puck, put, slider, stack
from sim.worlds.tabletop.tasks.task import Task

TASKS: dict[str, Task] = {task.name: task for kind in (put, stack, drawer, lamp, slider, puck) for task in kind.TASKS}
