"""What a task of LIBERO-Goal is: the benchmark's own predicate, and an expert that is a motion of the hand."""

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np

from sim.worlds.interface import TaskIn
from sim.worlds.libero_goal.motions import Motion, follow
from sim.worlds.libero_goal.table import LiberoTable

BOWL, CHEESE, BOTTLE, PLATE = (
    f"{name}_1_main" for name in ("akita_black_bowl", "cream_cheese", "wine_bottle", "plate")
)
CABINET, STOVE, RACK = "wooden_cabinet_1_main", "flat_stove_1_main", "wine_rack_1_main"
TOP, MIDDLE = "wooden_cabinet_1_top_level", "wooden_cabinet_1_middle_level"
SHUT = -0.02  # m of travel: a drawer is closed, or nearly


class Task(TaskIn[LiberoTable]):
    """A task of the benchmark, by its name there, whose success the benchmark judges."""

    steps = 300  # as the published evaluations have it

    def success(self, world: LiberoTable) -> bool:
        return world.done(self.name)

    def possible(self, world: LiberoTable) -> bool:
        return not self.success(world) and self.ready(world)

    @abstractmethod
    def ready(self, world: LiberoTable) -> bool:
        """Whether the hand can get at what the task is about."""

    @abstractmethod
    def motion(self, world: LiberoTable) -> Motion:
        """The goals of the scripted expert, one for each control step."""

    def expert(self, world: LiberoTable) -> Iterator[np.ndarray]:
        return follow(world, self.motion(world))


def within_reach(world: LiberoTable, body: str) -> bool:
    """Whether an object stands where the hand can grasp it: not in a drawer, not on its side, not fallen."""
    point = world.position(body)
    in_drawer = abs(point[0] - world.position(CABINET)[0]) < 0.12 and point[1] < -0.05 and point[2] < 1.11
    high = point[2] > 0.88
    return bool(high and world.upright(body) and not in_drawer)
