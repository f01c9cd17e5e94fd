"""The ten tasks of LIBERO-Goal, in the benchmark's order. One file for each kind of task."""

from sim.worlds.libero_goal.tasks import bottle, bowl, cheese, drawer, plate, stove
from sim.worlds.libero_goal.tasks.task import Task

_ORDER = (
    "open_the_middle_drawer_of_the_cabinet",
    "put_the_bowl_on_the_stove",
    "put_the_wine_bottle_on_top_of_the_cabinet",
    "open_the_top_drawer_and_put_the_bowl_inside",
    "put_the_bowl_on_top_of_the_cabinet",
    "push_the_plate_to_the_front_of_the_stove",
    "put_the_cream_cheese_in_the_bowl",
    "turn_on_the_stove",
    "put_the_bowl_on_the_plate",
    "put_the_wine_bottle_on_the_rack",
)
_KNOWN: dict[str, Task] = {
    task.name: task for kind in (bowl, bottle, cheese, drawer, plate, stove) for task in kind.TASKS
}
TASKS: dict[str, Task] = {name: _KNOWN[name] for name in _ORDER}
