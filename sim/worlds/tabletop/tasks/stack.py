"""Stack one block on another."""

import numpy as np

from sim.worlds.tabletop.table import OPEN, Table
from sim.worlds.tabletop.tasks.blocks import clear, grasp, on_table
from sim.worlds.tabletop.tasks.motions import CLOSED, Motion, Point, grip, reach, rise
from sim.worlds.tabletop.tasks.phrasings import PHRASINGS
from sim.worlds.tabletop.tasks.task import Task


class Stack(Task):
    """Stack the block of one colour on that of another: which on which is a matter of word order."""

    kind, grasps = "stack", True

    def __init__(self, top: str, bottom: str, new_words: tuple[str, ...]) -> None:
        self.name, self.opposite = f"stack_{top}_on_{bottom}", f"stack_{bottom}_on_{top}"
        self.moved_body, self.bottom = top, bottom
        self.phrasings = PHRASINGS[self.name]
        self.reworded = tuple(
            p.format(a=top, b=bottom)
            for p in (
                "on top of the {b} block, put the {a} block",
                "take the {a} block and stack it onto the {b} cube",
                "could you place the {a} block on top of the {b} one",
                "build a stack: {a} cube on {b} cube",
            )
        )
        self.new_words = new_words

    def possible(self, world: Table) -> bool:
        return all(on_table(world, b) and clear(world, b) for b in (self.moved_body, self.bottom))

    def success(self, world: Table) -> bool:
        offset = world.position(self.moved_body) - world.position(self.bottom)
        return bool(
            np.linalg.norm(offset[:2]) < 0.025 and 0.033 < offset[2] < 0.047 and not world.touched(self.moved_body)
        )

    def undecided(self, world: Table, rng: np.random.Generator) -> bool:
        return self.possible(world)

    def motion(self, world: Table) -> Motion:
        for _ in range(3):
            if not self.success(world):
                yield from grasp(world, self.moved_body)
                yield from reach(world, self._above(world), CLOSED, 0.010, 0.014)
                yield from grip(world, OPEN)
        yield from rise(world, OPEN)

    def _above(self, world: Table) -> Point:
        """Where the finger tips are when the top block, as it is held now, lies above the bottom one."""
        slip = world.tcp - world.position(self.moved_body)
        return lambda: world.position(self.bottom) + np.array([0, 0, 0.043]) + slip


TASKS = (
    Stack(
        "red",
        "blue",
        (
            "make a tower with the red block above the blue block",
            "balance the crimson cube on the blue cube",
            "pile the red block atop the navy block",
        ),
    ),
    Stack(
        "blue",
        "red",
        (
            "make a tower with the blue block above the red block",
            "balance the navy cube on the red cube",
            "pile the blue block atop the crimson block",
        ),
    ),
)
