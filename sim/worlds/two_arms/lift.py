"""Lift the bar with both hands: it is too long for one.

The expert reads the true state, and sets a goal a short lead ahead of where each hand *is*; a hand waits for the other
before it closes and before it rises.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from sim.worlds.interface import TaskIn
from sim.worlds.two_arms.kinematics import solve
from sim.worlds.two_arms.scene import SIDES

if TYPE_CHECKING:
    from sim.worlds.two_arms.world import TwoArms

OPEN, CLOSED = 0.1, 0.044  # m, twice a finger's distance
RAISED, LEVEL = 0.10, 0.03  # m: height of the lower end, difference of the ends
TOP = 0.16  # m, height to which the hands lift
ABOVE, DEEP = 0.09, -0.002  # m over the bar's middle, where a hand lines up, and where it grasps
LEAD = 0.045  # m ahead of the finger tips
STEP, CLOSING = 0.05, 0.02  # rad and m, the most that set-points move in a control step
GRIPPING, RISING = 8, 36  # control steps; those of rising end with half a second at the top
TRIES = 3


class LiftBar(TaskIn["TwoArms"]):
    """Grasp the bar at both ends and lift it level."""

    name, kind, moved_body, grasps = "lift_bar", "lift", "bar", True
    steps = 160
    phrasings = (
        "lift the bar",
        "lift the bar with both hands",
        "pick up the bar",
        "pick the bar up with both arms",
        "raise the blue bar",
        "please lift the bar",
        "take the bar by both ends and lift it",
        "hold the bar up with two hands",
        "could you pick up the blue bar",
        "the bar should be up in the air",
        "grab both ends of the bar and raise it",
        "bar up",
    )
    reworded = (
        "please pick up the blue bar with both hands",
        "could you lift the bar by both ends",
        "take the bar with two arms and raise it",
    )
    new_words = ("hoist the beam", "elevate the rod off the table", "get the stick off the table")

    def possible(self, world: "TwoArms") -> bool:
        return all(abs(world.end(side)[2] - 0.02) < 0.01 for side in SIDES) and abs(world.yaw) < 0.5

    def success(self, world: "TwoArms") -> bool:
        left, right = (world.end(side)[2] for side in SIDES)
        held = all(world.holds(side, "bar") for side in SIDES)
        return bool(held and min(left, right) > RAISED and abs(left - right) < LEVEL)

    def expert(self, world: "TwoArms") -> Iterator[np.ndarray]:
        """Set-points (14,) float32; steps are within the velocity limits."""
        last = world.setpoint()
        most = np.where(world.grippers, CLOSING, STEP)
        for points, opening in _motion(world):
            wanted = [np.append(solve(side, _ahead(world, side, points[side]), world.yaw), opening) for side in SIDES]
            last = last + np.clip(np.concatenate(wanted) - last, -most, most)
            yield last.astype(np.float32)


Points = dict[str, np.ndarray]  # side -> where its finger tips should go, (3,) m


def _motion(world: "TwoArms") -> Iterator[tuple[Points, float]]:
    """Where the hands should go now, and their opening."""
    for _ in range(TRIES):
        yield from _reach(world, ABOVE, 0.02)
        yield from _reach(world, DEEP, 0.01)
        here = _tips(world)
        for _ in range(GRIPPING):
            yield here, CLOSED
        if all(world.holds(side, "bar") for side in SIDES):
            break
    top = {side: np.append(tip[:2], TOP) for side, tip in _tips(world).items()}
    for _ in range(RISING):
        yield top, CLOSED


def _reach(world: "TwoArms", height: float, tolerance: float) -> Iterator[tuple[Points, float]]:
    """Until both hands are open at this height over the ends of the bar."""
    while True:
        points = {side: world.end(side) + np.array([0, 0, height]) for side in SIDES}
        if all(np.linalg.norm(points[side] - tip) < tolerance for side, tip in _tips(world).items()):
            return
        yield points, OPEN


def _tips(world: "TwoArms") -> Points:
    return {side: world.tip(side) for side in SIDES}


def _ahead(world: "TwoArms", side: str, point: np.ndarray) -> np.ndarray:
    """A point (3,) at most LEAD from where the finger tips are, towards the goal."""
    tip = world.tip(side)
    way = point - tip
    return np.asarray(tip + way * min(1.0, LEAD / max(float(np.linalg.norm(way)), 1e-9)))


TASKS = {"lift_bar": LiftBar()}
