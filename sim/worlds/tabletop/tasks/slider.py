"""Move the slider on its rail to one end."""

import numpy as np

from sim.worlds.tabletop.layout import SLIDER_END
from sim.worlds.tabletop.table import Table
from sim.worlds.tabletop.tasks.motions import CLOSED, Motion, fixed, reach, rise, straight
from sim.worlds.tabletop.tasks.phrasings import PHRASINGS
from sim.worlds.tabletop.tasks.task import Task

NEAR = 0.022  # m from the end of the rail
MIDDLE = 0.02  # m: how far from the rail's middle the slider is where it could go either way
FINGERS = 0.05  # m from the slider's centre to the middle of the fingers beside it


class Slider(Task):
    """Push the slider to one side, as the robot sees it: left is +y."""

    kind, moved_body = "slider", "slider"

    def __init__(self, side: str, new_words: tuple[str, ...]) -> None:
        self.name, self.sign = f"slider_{side}", 1 if side == "left" else -1
        self.opposite = "slider_right" if side == "left" else "slider_left"
        self.phrasings = PHRASINGS[self.name]
        self.reworded = tuple(
            p.format(s=side)
            for p in (
                "could you push the slider all the way {s}",
                "please slide the knob to the {s} end",
                "to the {s}, move the orange slider",
                "push the orange knob to the {s}",
            )
        )
        self.new_words = new_words

    def possible(self, world: Table) -> bool:
        return self.sign * world.joint("slider") < 0.04

    def success(self, world: Table) -> bool:
        return self.sign * world.joint("slider") > SLIDER_END - NEAR

    def undecided(self, world: Table, rng: np.random.Generator) -> bool:
        world.move_joint("slider", float(rng.uniform(-MIDDLE, MIDDLE)))
        return True

    def motion(self, world: Table) -> Motion:
        for _ in range(3):
            if not self.success(world):
                yield from reach(
                    world, lambda: world.position("slider") - (0, FINGERS * self.sign, 0.005), CLOSED, 0.02, 0.03
                )
                end = world.position("rail") + np.array([0, self.sign * (SLIDER_END - 0.028), 0.04])
                yield from straight(
                    world,
                    fixed(end),
                    CLOSED,
                    0.009,
                    most=45,
                    until=lambda: self.sign * world.joint("slider") > SLIDER_END - 0.004,
                )
                back = world.tcp - (0, 0.02 * self.sign, 0)
                yield from straight(world, fixed(back), CLOSED, 0.012)
        yield from rise(world, CLOSED)


TASKS = (
    Slider(
        "left", ("shift the slider leftwards", "drag the slider to the left-hand side", "shove the lever to the left")
    ),
    Slider(
        "right",
        ("shift the slider rightwards", "drag the slider to the right-hand side", "shove the lever to the right"),
    ),
)
