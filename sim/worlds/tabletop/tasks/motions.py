"""The motions that scripted experts are made of.

An expert reads the true state and sets a goal a short lead ahead of where the finger tips *are*. What it does so
depends on what is visible now and hardly on what came before: a policy that sees one frame can learn it, and after a
disturbance the expert recovers by itself.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from sim.worlds.tabletop.table import Table

CLOSED = 0.0  # m, opening of the gripper
SAFE_HEIGHT = 0.17  # m, height of travel: clears a stack of two blocks, the cabinet and the lamp's button
LEAD = 0.055  # m ahead of the finger tips: with the arm's lag of about 0.12 s, some 0.4 m/s


class Goal(NamedTuple):
    """Where the finger tips should go now, and how wide the gripper should be."""

    point: np.ndarray  # (3,) m
    opening: float  # m
    lead: float = LEAD


Motion = Iterator[Goal]  # one goal for each control step
Point = Callable[[], np.ndarray]  # (3,) m, where something is now


def reach(world: Table, point: Point, opening: float, tolerance: float = 0.007, funnel: float = 0.012) -> Motion:
    """Travel at a safe height, then descend on a point, within `funnel` metres of its vertical.

    The tolerance is as wide as the task allows: a policy that sees one frame stalls where an expert waits to be exact.
    """
    while True:
        goal, tcp = point(), world.tcp
        across = float(np.linalg.norm(goal[:2] - tcp[:2]))
        height = goal[2] + (max(SAFE_HEIGHT, goal[2]) - goal[2]) * np.clip((across - funnel) / 0.05, 0, 1)
        if across < tolerance and abs(goal[2] - tcp[2]) < tolerance:
            return
        share = float(np.clip(1 - (height - tcp[2] - 0.02) / 0.05, 0, 1))  # 0 where the hand is too low: first up
        xy = tcp[:2] + (goal[:2] - tcp[:2]) * share
        yield Goal(np.append(xy, height), opening)


def straight(
    world: Table,
    point: Point,
    opening: float,
    tolerance: float = 0.007,
    lead: float = LEAD,
    most: int = 60,
    until: Callable[[], bool] = lambda: False,
) -> Motion:
    """Go straight to a point or until a condition holds; give up after `most` steps, as the way may be blocked."""
    for _ in range(most):
        if np.linalg.norm(point() - world.tcp) < tolerance or until():
            return
        yield Goal(point(), opening, lead)


def fixed(point: np.ndarray) -> Point:
    """A point (3,) [m] that does not move."""
    return lambda: point


def stay(point: np.ndarray, opening: float, steps: int) -> Motion:
    """Hold still."""
    for _ in range(steps):
        yield Goal(point, opening)


def grip(world: Table, opening: float, most: int = 16) -> Motion:
    """Close or open the gripper in place until it no longer moves."""
    point, last = world.tcp, np.inf
    for step in range(most):
        now = world.opening
        if step >= 3 and abs(now - last) < 6e-4:
            return
        last = now
        yield Goal(point, opening)


def rise(world: Table, opening: float, hold: int = 14) -> Motion:
    """Go straight up to the height of travel and hold there: every demonstration ends so."""
    top = np.append(world.tcp[:2], SAFE_HEIGHT)
    yield from straight(world, lambda: top, opening, tolerance=0.015)
    yield from stay(top, opening, hold)
