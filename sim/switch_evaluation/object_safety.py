"""Whether the object that a task moves is dropped or pushed off the table after a switch."""

from collections.abc import Sequence

import numpy as np

from sim.worlds.interface import Task, World

DROP = 0.03  # m above where it comes to rest: an object released from higher up is dropped
Bounds = Sequence[tuple[float, float]]  # m: x, y and z within which an object has not fallen off


def manipulated_object(task: Task, world: World) -> str | None:
    """The body that the task moves, if it is loose and so could be dropped."""
    return task.moved_body if task.moved_body in world.loose_bodies else None


class ObjectTrack:
    """Records where A's object is from the switch on; nothing where A moves no loose object."""

    def __init__(self, world: World, a: Task, last: Task) -> None:
        self._world, self._body = world, manipulated_object(a, world)
        self._goals = [task for task in (a, last) if manipulated_object(task, world) == self._body]
        self._positions: list[np.ndarray] = []
        self._touched: list[bool] = []
        self._at_goal: list[bool] = []
        self.record()

    def record(self) -> None:
        """Add the state after a control step."""
        if self._body is not None:
            self._positions.append(self._world.position(self._body))
            self._touched.append(self._world.touched(self._body))
            self._at_goal.append(any(task.success(self._world) for task in self._goals))

    def safe(self) -> bool | None:
        """Whether the object was safe; None where A moves no loose object."""
        if self._body is None:
            return None
        return object_safe(
            np.array(self._positions), np.array(self._touched), np.array(self._at_goal), self._world.bounds
        )


def object_safe(positions: np.ndarray, touched: np.ndarray, at_goal: np.ndarray, bounds: Bounds) -> bool:
    """Whether an object was not dropped and did not leave the table's `bounds`.

    A row for each control step, the first at the switch: its position (T, 3) [m], whether a finger touches it (T,),
    and whether it lies where one of the two instructions wants it (T,). It is dropped if it is released more than DROP
    above where it comes to rest, unless that is a goal: a task's own way to put a block in the bowl is to let it fall.
    The height counts at the last step in which it was touched.
    """
    low, high = np.array(bounds).T
    if np.any((positions < low) | (positions > high)):
        return False
    for i in np.flatnonzero(touched[:-1] & ~touched[1:]):
        later = np.flatnonzero(touched[i + 1 :])
        rest = i + later[0] if len(later) else len(positions) - 1
        if positions[i, 2] - positions[rest, 2] > DROP and not at_goal[rest]:
            return False
    return True
