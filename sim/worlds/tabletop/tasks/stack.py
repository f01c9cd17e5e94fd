"""Stack one block on another."""

import numpy as np

from sim.worlds.tabletop.table import OPEN, Table
from sim.worlds.tabletop.tasks.blocks import clear, grasp, on_table
from sim.worlds.tabletop.tasks.motions import CLOSED, Motion, Point, grip, reach, rise
from sim.worlds.tabletop.tasks.task import Task


class Stack(Task):
    """Stack the red block on the blue block."""

    name, kind, moved_body, grasps = "stack_red_on_blue", "stack", "red", True
    phrasings = (
        "stack the red block on the blue block",
        "put the red block on top of the blue block",
        "place the red cube on the blue cube",
        "pick up the red block and stack it on the blue one",
        "set the red block on top of the blue one",
        "red block on top of the blue block please",
        "build a stack with the red block on the blue block",
        "could you stack the red cube on the blue cube",
        "move the red block onto the blue block",
        "take the red cube and put it onto the blue cube",
        "i want the red block on top of the blue block",
        "the red cube goes on the blue cube",
        "lay the red block on the blue block",
        "get the red one on top of the blue one",
        "carry the red block over and stack it on the blue block",
        "the blue block below and the red block on it",
        "red on blue",
    )
    reworded = (
        "on top of the blue block, put the red block",
        "take the red block and stack it onto the blue cube",
        "could you place the red block on top of the blue one",
        "build a stack: red cube on blue cube",
    )
    new_words = (
        "make a tower with the red block above the blue block",
        "balance the crimson cube on the blue cube",
        "pile the red block atop the navy block",
    )

    def possible(self, world: Table) -> bool:
        return all(on_table(world, b) and clear(world, b) for b in ("red", "blue"))

    def success(self, world: Table) -> bool:
        offset = world.position("red") - world.position("blue")
        return bool(np.linalg.norm(offset[:2]) < 0.025 and 0.033 < offset[2] < 0.047 and not world.touched("red"))

    def motion(self, world: Table) -> Motion:
        for _ in range(3):
            if not self.success(world):
                yield from grasp(world, "red")
                yield from reach(world, _above_blue(world), CLOSED, 0.010, 0.014)
                yield from grip(world, OPEN)
        yield from rise(world, OPEN)


def _above_blue(world: Table) -> Point:
    """Where the finger tips are when the red block, as it is held now, lies above the blue one."""
    slip = world.tcp - world.position("red")
    return lambda: world.position("blue") + np.array([0, 0, 0.043]) + slip


TASKS = (Stack(),)
