"""Turn on the stove."""

import numpy as np

from sim.worlds.libero_goal.motions import CLOSED, DOWN, Goal, Motion, grip, leave, reach, turned
from sim.worlds.libero_goal.table import OPEN, LiberoTable
from sim.worlds.libero_goal.tasks.bowl import TRIES
from sim.worlds.libero_goal.tasks.task import Task

BUTTON, BODY = "flat_stove_1_button", "flat_stove_1_button"
ON = 0.75  # rad; the benchmark calls 0.5 on
HEIGHT = 0.945  # m: the fingers are on both sides of the button's fin


class TurnOn(Task):
    """Close the fingers on the fin of the button and turn the hand."""

    name = kind = "turn_on_the_stove"
    moved_body = BODY
    phrasings = (
        "turn on the stove",
        "turn the stove on",
        "switch on the stove",
        "switch the stove on",
        "please turn on the stove",
        "turn the knob of the stove",
        "light the burner",
        "could you turn the stove on",
        "the stove should be on",
        "i want the stove turned on",
        "turn the burner on",
        "stove on",
    )
    reworded = ("could you please switch the burner on", "turn on the burner of the stove", "i want the stove on")
    new_words = ("activate the cooker", "fire up the stove", "start heating the hob")

    def ready(self, world: LiberoTable) -> bool:
        return True

    def motion(self, world: LiberoTable) -> Motion:
        for _ in range(TRIES):
            if world.joint(BUTTON) < ON - 0.15:
                yield from reach(world, lambda: _fin(world), DOWN, OPEN, 0.08)
                yield from grip(world, CLOSED, DOWN)
                yield from self._twist(world)
        yield from leave(world)

    def _twist(self, world: LiberoTable) -> Motion:
        """Turn the hand about itself, a lead ahead of where it is."""
        point = _fin(world)
        for _ in range(40):
            if world.joint(BUTTON) > ON:
                return
            angle = min(-float(world.pose[5]) + 0.35, 1.2)
            yield Goal(point, turned(z=angle), CLOSED)


def _fin(world: LiberoTable) -> np.ndarray:
    x, y, _ = world.position(BODY)
    return np.array([x - 0.005, y, HEIGHT])


TASKS = (TurnOn(),)
