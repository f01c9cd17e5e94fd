"""The tasks, by name. One file for each kind of task; to add one, imitate drawer.py and name it here."""

from sim.worlds.tabletop.tasks import drawer, lamp, memory, modes, puck, put, slider, stack
from sim.worlds.tabletop.tasks.task import Task

TASKS: dict[str, Task] = {task.name: task for kind in (put, stack, drawer, lamp, slider, puck) for task in kind.TASKS}
# Suites of their own: in no figure of all tasks, not among the pairs of switches.
SUITES: dict[str, dict[str, Task]] = {
    "memory": {task.name: task for task in memory.TASKS},
    "modes": {task.name: task for task in modes.TASKS},
}
