"""Put a block in the bowl."""

import numpy as np

from sim.worlds.tabletop.scene import BLOCKS
from sim.worlds.tabletop.table import OPEN, Table
from sim.worlds.tabletop.tasks.blocks import clear, grasp, on_table
from sim.worlds.tabletop.tasks.motions import CLOSED, Motion, grip, reach, rise
from sim.worlds.tabletop.tasks.phrasings import PHRASINGS
from sim.worlds.tabletop.tasks.task import Task

INSIDE = 0.062  # m from the bowl's centre


def in_bowl(world: Table, body: str) -> bool:
    """Whether the block lies within the bowl's wall."""
    offset = world.position(body) - world.position("bowl")
    return bool(np.linalg.norm(offset[:2]) < INSIDE and offset[2] < 0.075)


class Put(Task):
    """Put the block of one colour in the bowl."""

    kind, grasps = "put", True

    def __init__(self, colour: str, new_words: tuple[str, ...]) -> None:
        self.name, self.moved_body = f"put_{colour}", colour
        turn = 2 * np.pi / 3 * BLOCKS.index(colour)
        self.spot = np.array([0.034 * np.cos(turn), 0.034 * np.sin(turn), 0.07])  # each its own place: no heap
        self.phrasings = PHRASINGS[self.name]
        self.reworded = tuple(
            p.format(c=colour)
            for p in (
                "in the bowl, please put the {c} cube",
                "take the {c} cube to the bowl and drop it in",
                "pick up the {c} cube and place it inside the bowl",
                "could you bring the {c} cube to the dish",
            )
        )
        self.new_words = new_words

    def possible(self, world: Table) -> bool:
        return on_table(world, self.moved_body) and clear(world, self.moved_body)

    def success(self, world: Table) -> bool:
        return in_bowl(world, self.moved_body) and not world.touched(self.moved_body)

    def motion(self, world: Table) -> Motion:
        for _ in range(3):
            if not in_bowl(world, self.moved_body):
                yield from grasp(world, self.moved_body)
                yield from reach(world, lambda: world.position("bowl") + self.spot, CLOSED, 0.015, 0.03)
                yield from grip(world, OPEN)
        yield from rise(world, OPEN)


TASKS = (
    Put(
        "red",
        (
            "stow the crimson block in the bowl",
            "place the scarlet cube in the basin",
            "deposit the red block in the container",
        ),
    ),
    Put(
        "green",
        (
            "stow the emerald block in the bowl",
            "place the lime green cube in the basin",
            "deposit the green block in the container",
        ),
    ),
    Put(
        "blue",
        (
            "stow the navy block in the bowl",
            "place the azure cube in the basin",
            "deposit the blue block in the container",
        ),
    ),
)
