"""Open the middle drawer; open the top drawer and put the bowl inside."""

import numpy as np

from sim.worlds.libero_goal.motions import (
    CLOSED,
    Motion,
    Point,
    at,
    fixed,
    grip,
    leave,
    reach,
    rise,
    stay,
    straight,
    turned,
)
from sim.worlds.libero_goal.table import OPEN, LiberoTable
from sim.worlds.libero_goal.tasks.bowl import TRIES, held
from sim.worlds.libero_goal.tasks.task import BOWL, MIDDLE, SHUT, TOP, Task, within_reach

LEVEL = turned(x=-np.pi / 2)  # the hand points at the cabinet, its fingers above and below a handle
HALF = turned(x=-np.pi / 4)
HANDLES = {TOP: "wooden_cabinet_1_g18", MIDDLE: "wooden_cabinet_1_g29"}
OPENED = -0.145  # m of travel
LEAN = turned(y=-0.35)  # away from the open drawer, which is close
INNER_RIM = at(0, 0.055, 0.02)  # m from the bowl to where the hand grasps it, unturned
BESIDE = INNER_RIM + at(-0.03, 0.05, 0.14)  # where it comes from


def pull(world: LiberoTable, drawer: str, out: float) -> Motion:
    """Grasp the handle of a drawer and pull it out by about `out` metres."""
    for _ in range(TRIES):
        if world.joint(drawer) > OPENED:
            for away, turn, tolerance in ((0.16, HALF, 0.04), (0.10, LEVEL, 0.015), (0.0, LEVEL, 0.008)):
                yield from straight(world, _before(world, drawer, away), turn, OPEN, tolerance, most=45)
            yield from grip(world, CLOSED, LEVEL)
            goal = world.tcp + at(0, out + world.joint(drawer), 0)
            yield from straight(world, fixed(goal), LEVEL, CLOSED, 0.012, most=40, until=lambda: _wide(world, drawer))
            yield from grip(world, OPEN, LEVEL, most=10)
    back = world.tcp + at(0, 0.06, 0.02)
    yield from straight(world, fixed(back), LEVEL, OPEN, 0.02, most=12)


def _before(world: LiberoTable, drawer: str, away: float) -> Point:
    """A point before the handle of a drawer."""
    return lambda: world.geom(HANDLES[drawer]) + at(0, away, 0)


def _wide(world: LiberoTable, drawer: str) -> bool:
    return world.joint(drawer) < OPENED - 0.008


class OpenMiddle(Task):
    """Pull the middle drawer open by its handle."""

    name = kind = "open_the_middle_drawer_of_the_cabinet"
    moved_body = "wooden_cabinet_1_cabinet_middle"
    phrasings = (
        "open the middle drawer of the cabinet",
        "open the middle drawer",
        "pull the middle drawer open",
        "pull out the middle drawer of the cabinet",
        "please open the middle drawer",
        "slide the middle drawer open",
        "grab the handle of the middle drawer and pull it open",
        "could you open the middle drawer of the wooden cabinet",
        "the middle drawer should be open",
        "i want the middle drawer open",
        "open the drawer in the middle",
        "middle drawer open",
    )
    reworded = (
        "could you pull the middle drawer out",
        "please slide the drawer in the middle open",
        "i want the middle drawer of the wooden cabinet pulled open",
    )
    new_words = ("tug the centre drawer out", "unclose the middle drawer", "extend the middle compartment")

    def ready(self, world: LiberoTable) -> bool:
        return world.joint(TOP) > SHUT and world.joint(MIDDLE) > SHUT

    def motion(self, world: LiberoTable) -> Motion:
        yield from pull(world, MIDDLE, 0.19)
        yield from stay(world, LEVEL, OPEN, 4)


class OpenTopPutBowl(Task):
    """Pull the top drawer open and put the bowl inside."""

    name = kind = "open_the_top_drawer_and_put_the_bowl_inside"
    moved_body, grasps = BOWL, True
    phrasings = (
        "open the top drawer and put the bowl inside",
        "open the top drawer and place the bowl inside",
        "open the top drawer of the cabinet and put the bowl in it",
        "pull out the top drawer and put the black bowl inside",
        "please open the top drawer and put the bowl inside it",
        "put the bowl in the top drawer",
        "place the black bowl inside the top drawer",
        "the bowl should be in the top drawer",
        "could you open the top drawer and set the bowl in it",
        "pull the top drawer open and put the bowl into it",
        "bowl in the top drawer",
        "i want the bowl inside the top drawer",
    )
    reworded = (
        "please pull the top drawer out and place the black bowl inside",
        "could you put the black bowl into the top drawer",
        "open the drawer on top and set the bowl inside",
    )
    new_words = (
        "stow the bowl in the upper drawer",
        "tuck the dish into the top drawer",
        "hide the bowl in the top compartment",
    )

    def ready(self, world: LiberoTable) -> bool:
        # On the cabinet, or on the plate under the drawer, the bowl is in the way of what follows.
        point = world.position(BOWL)
        free = point[2] < 1.0 and point[0] < 0.0
        return bool(free and within_reach(world, BOWL) and world.joint(MIDDLE) > SHUT)

    def motion(self, world: LiberoTable) -> Motion:
        if world.joint(TOP) > OPENED:
            yield from pull(world, TOP, 0.17)
            clear = world.tcp + at(0, 0.08, 0.03)
            yield from straight(world, fixed(clear), LEVEL, OPEN, 0.03, most=12)
            over = at(-0.12, 0.12, 1.15)
            yield from straight(world, fixed(over), LEAN, OPEN, 0.03, most=60)
        for _ in range(TRIES):
            if not held(world, BOWL, INNER_RIM):
                yield from straight(world, lambda: world.position(BOWL) + BESIDE, LEAN, OPEN, 0.03, most=40)
                yield from straight(world, lambda: world.position(BOWL) + INNER_RIM, LEAN, OPEN, most=40)
                yield from grip(world, CLOSED, LEAN)
                if held(world, BOWL, INNER_RIM):
                    aside = world.tcp + at(-0.04, 0.12, 0.05)  # not under the drawer
                    yield from straight(world, fixed(aside), LEAN, CLOSED, 0.02, most=20)
                    yield from rise(world, 0.28, LEAN, CLOSED)
        yield from reach(world, lambda: self._over(world), LEAN, CLOSED, 0.1, 0.01, most=110)
        yield from leave(world)

    def _over(self, world: LiberoTable) -> np.ndarray:
        """Where the hand lets go so that the bowl is over the drawer's middle."""
        x, y, _ = world.site("wooden_cabinet_1_top_region")
        return np.asarray(np.array([x, y - 0.005, 1.111]) + world.tcp - world.position(BOWL))


TASKS = (OpenMiddle(), OpenTopPutBowl())
