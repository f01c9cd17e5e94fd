"""What a task of the table is: a task of a world whose scripted expert is a motion of the finger tips."""

from abc import abstractmethod
from collections.abc import Iterator
from itertools import islice

import numpy as np

from sim.worlds.interface import TaskIn
from sim.worlds.tabletop.table import OPEN, Table
from sim.worlds.tabletop.tasks.expert import Expert
from sim.worlds.tabletop.tasks.motions import Motion, grip, rise


class Task(TaskIn[Table]):
    """A task whose expert follows the goals of `motion`."""

    @abstractmethod
    def motion(self, world: Table) -> Motion:
        """The goals of the scripted expert, one for each control step."""

    def expert(self, world: Table) -> Iterator[np.ndarray]:
        return Expert(world, self.motion(world))

    def near_miss(self, world: Table, after: int, leaving: int) -> Iterator[np.ndarray]:
        return Expert(world, self._let_go(world, after, leaving))

    def _let_go(self, world: Table, after: int, leaving: int) -> Motion:
        """The motion for `after` control steps; then the hand opens and rises for `leaving` control steps."""
        yield from islice(self.motion(world), max(0, after))
        yield from grip(world, OPEN)
        yield from islice(rise(world, OPEN), leaving)
