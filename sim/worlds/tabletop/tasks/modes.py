"""A task that can be done in two ways, shown in both: a policy that averages them does neither."""

import numpy as np

from sim.worlds.tabletop.table import Table
from sim.worlds.tabletop.tasks.motions import CLOSED, Motion, fixed, reach, rise, stay, straight
from sim.worlds.tabletop.tasks.phrasings import PHRASINGS
from sim.worlds.tabletop.tasks.task import Task

BLOCK = "green"
AREA = ((0.46, 0.49), (-0.05, -0.01))  # m: x, y ranges of the block in the way
ASIDE = {"red": (0.34, -0.19), "blue": (0.41, -0.19)}  # m: where the other blocks wait
BEFORE, BEHIND, BESIDE = 0.11, 0.11, 0.075  # m from the block's centre
HEIGHT = 0.035  # m: a hand at this height moves the block if it goes straight
OVER = 0.03  # m from its centre: nearer, a hand goes over it
MOVED = 0.005  # m: further, and the block was touched
REACHED = 0.02  # m from the goal


class RoundBlock(Task):
    """Go past the green block on the table, to the left or to the right, without touching it."""

    name, kind, moved_body = "round_block", "round", BLOCK
    phrasings = PHRASINGS["round_block"]
    reworded = ("move past the green cube without touching it", "get the hand round the green cube")
    new_words = ("circumvent the green block", "steer clear of the green cube and end up behind it")

    def possible(self, world: Table) -> bool:
        return True

    def arrange(self, world: Table, rng: np.random.Generator) -> None:
        (x0, x1), (y0, y1) = AREA
        at = {BLOCK: (rng.uniform(x0, x1), rng.uniform(y0, y1)), **ASIDE}
        for name, (x, y) in at.items():
            world.move_block(name, np.array([x, y, 0.02]))
        world.notes.update(side=1 if rng.random() < 0.5 else -1, place=np.array([*at[BLOCK], 0.02]), passed=0)
        world.watchers.append(lambda: _watch(world))

    def success(self, world: Table) -> bool:
        place = _place(world)
        untouched = np.linalg.norm(world.position(BLOCK) - place) < MOVED and not world.touched(BLOCK)
        there = np.linalg.norm(world.tcp[:2] - _goal(place)[:2]) < REACHED
        return bool(world.notes["passed"] and untouched and there)

    def outcome(self, world: Table) -> str:
        return {1: "left", -1: "right"}.get(world.notes["passed"], "")

    def motion(self, world: Table) -> Motion:
        place, side = _place(world), int(world.notes["side"])
        beside = np.array([0.0, side * BESIDE, 0.0])
        low = np.array([place[0], place[1], HEIGHT])
        yield from reach(world, fixed(low - (BEFORE, 0, 0)), CLOSED, 0.015, 0.03)
        for point, tolerance in (
            (low + beside - np.array([0.05, 0, 0]), 0.02),
            (low + beside + np.array([0.05, 0, 0]), 0.02),
            (_goal(place), 0.008),
        ):
            yield from straight(world, fixed(point), CLOSED, tolerance)
        yield from stay(_goal(place), CLOSED, 16)
        yield from rise(world, CLOSED)


def _place(world: Table) -> np.ndarray:
    """Where the block was put, (3,) m."""
    return np.asarray(world.notes["place"])


def _goal(place: np.ndarray) -> np.ndarray:
    """Behind the block, (3,) m."""
    return np.array([place[0] + BEHIND, place[1], HEIGHT])


def _watch(world: Table) -> None:
    """Note the side on which the hand is when it is level with the block, not over it."""
    offset = world.tcp - _place(world)
    if abs(offset[0]) < 0.02 and offset[2] < 0.05 and abs(offset[1]) > OVER:
        world.notes["passed"] = 1 if offset[1] > 0 else -1


TASKS = (RoundBlock(),)
