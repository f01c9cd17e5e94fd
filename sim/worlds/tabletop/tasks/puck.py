"""Push the puck along its lane to a zone."""

import numpy as np

from sim.worlds.tabletop.layout import LANE, ZONES
from sim.worlds.tabletop.table import Table
from sim.worlds.tabletop.tasks.motions import Motion, fixed, reach, rise, straight
from sim.worlds.tabletop.tasks.phrasings import PHRASINGS
from sim.worlds.tabletop.tasks.task import Task

HALF = 0.045  # m, the puck's centre within the zone
CRADLE = 0.034  # m, opening at which the puck nests between the two finger tips
BEHIND = 0.066  # m from the puck's centre, before the push
TOUCHING = 0.042  # m from the puck's centre to the finger tips' centre while they push


class Puck(Task):
    """Push the puck into the white zone (away from the robot) or the black zone (towards it)."""

    kind, moved_body, restored = "puck", "puck", False  # what was pushed stays there

    def __init__(self, zone: str, new_words: tuple[str, ...]) -> None:
        self.name, self.zone, self.sign = f"puck_{zone}", zone, 1 if zone == "white" else -1
        self.opposite = "puck_black" if zone == "white" else "puck_white"
        self.phrasings = PHRASINGS[self.name]
        self.reworded = tuple(
            p.format(z=zone)
            for p in (
                "could you push the puck to the {z} area",
                "onto the {z} zone, slide the purple puck",
                "the purple puck goes into the {z} square",
                "please get the purple puck onto the {z} zone",
            )
        )
        self.height = 0.03 if zone == "white" else 0.016  # the arm's lag lowers a push and lifts a pull
        self.new_words = new_words

    def _offset(self, world: Table) -> np.ndarray:
        return world.position("puck")[:2] - (ZONES[self.zone], LANE)

    def possible(self, world: Table) -> bool:
        p = world.position("puck")
        return bool(
            p[2] < 0.03
            and abs(p[1] - LANE) < 0.03
            and 0.33 < p[0] < 0.66
            and self.sign * self._offset(world)[0] < -0.06
            and self._free(world)
        )

    def _free(self, world: Table) -> bool:
        """Whether no block lies in the puck's lane."""
        return all(abs(world.position(b)[1] - LANE) > 0.07 for b in ("red", "green", "blue"))

    def success(self, world: Table) -> bool:
        return bool(np.all(np.abs(self._offset(world)) < HALF) and world.position("puck")[2] < 0.03)

    def undecided(self, world: Table, rng: np.random.Generator) -> bool:
        return all(world.tasks[name].possible(world) for name in (self.name, self.opposite))

    def motion(self, world: Table) -> Motion:
        for _ in range(3):
            if self.sign * self._offset(world)[0] < -0.012:
                yield from reach(
                    world, lambda: world.position("puck") - (BEHIND * self.sign, 0, -0.01), CRADLE, 0.012, 0.02
                )
                end = np.array([ZONES[self.zone] - TOUCHING * self.sign, LANE, self.height])
                yield from straight(world, fixed(end), CRADLE, 0.009, lead=0.04, most=70)
                back = world.tcp - (0.03 * self.sign, 0, 0)
                yield from straight(world, fixed(back), CRADLE, 0.012)
        yield from rise(world, CRADLE)


TASKS = (
    Puck(
        "white",
        (
            "shove the disc into the white zone",
            "nudge the violet puck to the white patch",
            "transport the puck to the pale square",
        ),
    ),
    Puck(
        "black",
        (
            "shove the disc into the black zone",
            "nudge the violet puck to the black patch",
            "transport the puck to the dark square",
        ),
    ),
)
