"""The motions that scripted experts are made of: goals of the hand a short lead ahead of where it *is*.

What an expert does depends on what is visible now and hardly on what came before: a policy that sees one frame can
learn it, and after a disturbance the expert recovers by itself.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from sim.worlds.libero_goal.table import OPEN, LiberoTable

CLOSED = 0.0  # m, opening of the gripper
LEAD = 0.05  # m ahead of the hand: the full speed of the controller, 1.25 cm in a control step
TURN_LEAD = 0.4  # rad ahead of the hand
STEP, TURN_STEP = 0.022, 0.115  # m and rad, the most that the goal moves in a control step
TRAVEL = 1.08  # m, height of the hand on its way over the table


class Goal(NamedTuple):
    """Where the hand should go now, how it should be turned, and how wide it should be open."""

    point: np.ndarray  # (3,) m
    turn: np.ndarray  # (3,) rad, rotation vector from pointing down
    opening: float  # m
    lead: float = LEAD


Motion = Iterator[Goal]  # one goal for each control step
Point = Callable[[], np.ndarray]  # (3,) m, where something is now


def turned(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    """The hand that points down, turned about an axis of the world, as a rotation vector (3,) [rad]."""
    return np.array([y, x, -z])


DOWN = turned()


def at(x: float, y: float, z: float) -> np.ndarray:
    """A point or an offset (3,) [m]."""
    return np.array([x, y, z], float)


def follow(world: LiberoTable, motion: Motion) -> Iterator[np.ndarray]:
    """A motion as actions (7,) float32, each read just before its control step."""
    last = world.setpoint()
    for goal in motion:
        pose = world.pose
        wanted = np.concatenate(
            [_ahead(pose[:3], goal.point, goal.lead), _ahead(pose[3:], goal.turn, TURN_LEAD), [goal.opening]]
        )
        change = wanted - last
        change[:3] *= min(1.0, STEP / max(float(np.linalg.norm(change[:3])), 1e-9))
        change[3:6] *= min(1.0, TURN_STEP / max(float(np.linalg.norm(change[3:6])), 1e-9))
        last = last + change
        yield last.astype(np.float32)


def _ahead(here: np.ndarray, goal: np.ndarray, lead: float) -> np.ndarray:
    """The point at most `lead` from here towards the goal."""
    way = goal - here
    ahead: np.ndarray = here + way * min(1.0, lead / max(float(np.linalg.norm(way)), 1e-9))
    return ahead


def reach(
    world: LiberoTable,
    point: Point,
    turn: np.ndarray,
    opening: float,
    above: float,
    tolerance: float = 0.006,
    funnel: float = 0.012,
    most: int = 80,
    until: Callable[[], bool] = lambda: False,
) -> Motion:
    """Travel at a height of at least `above` over a point, then descend on it, turned as wanted."""
    for _ in range(most):
        if until():
            return
        goal, pose = point(), world.pose
        across = float(np.linalg.norm(goal[:2] - pose[:2])) + 0.1 * max(0.0, _angle(pose[3:], turn) - 0.05)
        top = max(TRAVEL, goal[2] + above)
        height = goal[2] + (top - goal[2]) * np.clip((across - funnel) / 0.04, 0, 1)
        if across < tolerance and abs(goal[2] - pose[2]) < tolerance:
            return
        share = float(np.clip(1 - (height - pose[2] - 0.02) / 0.05, 0, 1))  # 0 where the hand is too low: first up
        xy = pose[:2] + (goal[:2] - pose[:2]) * share
        yield Goal(np.append(xy, height), turn, opening)


def straight(
    world: LiberoTable,
    point: Point,
    turn: np.ndarray,
    opening: float,
    tolerance: float = 0.006,
    lead: float = LEAD,
    most: int = 60,
    until: Callable[[], bool] = lambda: False,
) -> Motion:
    """Go straight to a point or until a condition holds; give up after `most` steps, as the way may be blocked."""
    for _ in range(most):
        pose = world.pose
        if (np.linalg.norm(point() - pose[:3]) < tolerance and _angle(pose[3:], turn) < 0.1) or until():
            return
        yield Goal(point(), turn, opening, lead)


def grip(world: LiberoTable, opening: float, turn: np.ndarray | None = None, most: int = 22) -> Motion:
    """Close or open the gripper in place until it no longer moves; a full sweep takes some ten steps."""
    pose = world.pose
    point, turn, last = pose[:3], pose[3:] if turn is None else turn, np.inf
    for step in range(most):
        now = world.opening
        if step >= 5 and abs(now - last) < 4e-4:
            return
        last = now
        yield Goal(point, turn, opening)


def stay(world: LiberoTable, turn: np.ndarray, opening: float, steps: int) -> Motion:
    """Hold still where the hand is."""
    point = world.tcp
    for _ in range(steps):
        yield Goal(point, turn, opening)


def rise(world: LiberoTable, by: float, turn: np.ndarray, opening: float, most: int = 40) -> Motion:
    """Go straight up."""
    top = world.tcp + np.array([0, 0, by])
    yield from straight(world, lambda: top, turn, opening, tolerance=0.02, most=most)


def leave(world: LiberoTable) -> Motion:
    """Open, go up and hold there a moment: every demonstration ends so."""
    turn = world.pose[3:]
    yield from grip(world, OPEN)
    yield from rise(world, 0.08, turn, OPEN, most=10)  # close to its base the arm cannot go far up
    yield from stay(world, turn, OPEN, 4)


def fixed(point: np.ndarray) -> Point:
    """A point (3,) [m] that does not move."""
    return lambda: point


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b))
