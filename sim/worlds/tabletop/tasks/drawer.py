"""Open and close the drawer."""

import numpy as np

from sim.worlds.tabletop.table import OPEN, Table
from sim.worlds.tabletop.tasks.motions import CLOSED, Motion, fixed, grip, reach, rise, stay, straight
from sim.worlds.tabletop.tasks.phrasings import PHRASINGS
from sim.worlds.tabletop.tasks.task import Task

OPENED, SHUT = 0.085, 0.012  # m of travel
HALF_OPEN = (0.035, 0.065)  # m of travel


def handle(world: Table) -> np.ndarray:
    """Where to grasp or push the handle, (3,) m."""
    return np.asarray(world.geom_position("handle") + np.array([0, 0, -0.005]))


def inside(world: Table) -> np.ndarray:
    """Where the finger tips push to until the drawer is shut, (3,) m: a little further than that."""
    return np.asarray(handle(world) + np.array([world.joint("drawer") - 0.015, 0, 0]))


def half_open(world: Table, rng: np.random.Generator) -> bool:
    """Pull the drawer half out, where it could be opened or closed."""
    world.move_joint("drawer", float(rng.uniform(*HALF_OPEN)))
    return True


class OpenDrawer(Task):
    """Grasp the handle and pull it out."""

    name, kind, moved_body, opposite = "open_drawer", "drawer", "drawer", "close_drawer"
    phrasings = PHRASINGS["open_drawer"]
    reworded = (
        "could you pull open the drawer",
        "please pull the drawer out of the cabinet",
        "grab the drawer handle and open it",
        "open up the cabinet drawer please",
    )
    new_words = ("tug the drawer out", "unclose the drawer", "extend the drawer all the way")

    def possible(self, world: Table) -> bool:
        return world.joint("drawer") < 0.05

    def success(self, world: Table) -> bool:
        return world.joint("drawer") > OPENED

    def undecided(self, world: Table, rng: np.random.Generator) -> bool:
        return half_open(world, rng)

    def motion(self, world: Table) -> Motion:
        for _ in range(3):
            if world.joint("drawer") < OPENED:
                yield from reach(world, lambda: handle(world), OPEN, 0.012, 0.02)
                yield from grip(world, CLOSED)
                out = handle(world) - (0.12 - world.joint("drawer"), 0, 0)
                yield from straight(world, fixed(out), CLOSED, 0.012)
                yield from grip(world, OPEN)
        yield from rise(world, OPEN)


class CloseDrawer(Task):
    """Push the handle with the closed gripper."""

    name, kind, moved_body, opposite = "close_drawer", "drawer", "drawer", "open_drawer"
    phrasings = PHRASINGS["close_drawer"]
    reworded = (
        "could you push the drawer shut",
        "please push the drawer back in",
        "slide the cabinet drawer closed",
        "shut the drawer of the cabinet please",
    )
    new_words = ("seal the drawer", "return the drawer to its closed position", "slam the drawer shut")

    def possible(self, world: Table) -> bool:
        return world.joint("drawer") > 0.06

    def success(self, world: Table) -> bool:
        return world.joint("drawer") < SHUT

    def undecided(self, world: Table, rng: np.random.Generator) -> bool:
        return half_open(world, rng)

    def motion(self, world: Table) -> Motion:
        for _ in range(3):
            if world.joint("drawer") > SHUT:
                yield from reach(world, lambda: handle(world) - (0.05, 0, 0), CLOSED, 0.02, 0.03)
                yield from straight(
                    world, lambda: inside(world), CLOSED, most=45, until=lambda: world.joint("drawer") < 0.004
                )
                yield from stay(inside(world), CLOSED, 6)  # shut is hard to tell from almost shut: push on
                back = world.tcp - (0.03, 0, 0)
                yield from straight(world, fixed(back), CLOSED, 0.015)
        yield from rise(world, CLOSED)


TASKS = (OpenDrawer(), CloseDrawer())
