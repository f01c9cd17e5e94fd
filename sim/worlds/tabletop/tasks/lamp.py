"""Press the button that switches the lamp."""

import numpy as np

from sim.worlds.tabletop.table import Table
from sim.worlds.tabletop.tasks.motions import CLOSED, Motion, reach, rise, straight
from sim.worlds.tabletop.tasks.phrasings import PHRASINGS
from sim.worlds.tabletop.tasks.task import Task

FURTHER = 4  # control steps


class Lamp(Task):
    """Switch the lamp: the button toggles it."""

    kind, moved_body = "lamp", "button"
    steps = 160

    def __init__(self, on: bool, reworded: tuple[str, ...], new_words: tuple[str, ...]) -> None:
        self.on, self.name, self.opposite = on, *(("lamp_on", "lamp_off") if on else ("lamp_off", "lamp_on"))
        self.phrasings, self.reworded, self.new_words = PHRASINGS[self.name], reworded, new_words

    def possible(self, world: Table) -> bool:
        return world.lamp != self.on

    def success(self, world: Table) -> bool:
        return world.lamp == self.on

    def undecided(self, world: Table, rng: np.random.Generator) -> bool:
        world.set_lamp(self.on)  # it is as it is asked for, and must stay so
        return True

    def motion(self, world: Table) -> Motion:
        while world.lamp != self.on:
            yield from reach(world, lambda: world.position("button") + np.array([0, 0, 0.045]), CLOSED, 0.015, 0.025)
            yield from straight(world, lambda: _down(world), CLOSED, most=25, until=lambda: world.lamp == self.on)
            # A little further, so that a policy that turns back slightly early has still pressed it.
            yield from straight(world, lambda: _down(world), CLOSED, most=FURTHER)
        yield from rise(world, CLOSED)


def _down(world: Table) -> np.ndarray:
    """Where the finger tips press the button to, (3,) m."""
    return np.asarray(world.position("lamp") + np.array([0, 0, 0.02]))


TASKS = (
    Lamp(
        True,
        (
            "could you switch the light on",
            "please switch on the lamp",
            "press the button so that the light is on",
            "lamp on please",
        ),
        ("illuminate the lamp", "activate the light", "it is too dark, turn on the lamp"),
    ),
    Lamp(
        False,
        (
            "could you switch the light off",
            "please switch off the lamp",
            "press the button so that the light is off",
            "lamp off please",
        ),
        ("extinguish the lamp", "deactivate the light", "it is too bright, turn off the lamp"),
    ),
)
