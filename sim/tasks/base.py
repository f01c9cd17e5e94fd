"""What a task is, and the motions its scripted expert is made of.

An expert reads the true state and commands a point a short lead ahead of where the finger tips *are*, so that what it
does depends on what can be seen now and hardly on what came before: a policy that sees one frame can learn it, and
from wherever a push has left the arm the expert goes back by itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from sim.kinematics import Kinematics
from sim.world import OPEN, World

LEAD = 0.055  # m ahead of the finger tips: with the arm's lag of about 0.12 s, some 0.4 m/s
STEP = 0.10  # rad, the most a joint set-point moves in a control step: within the real arm's 2.175 rad/s
SAFE = 0.17  # m, height of travel: clears a stack of two blocks, the cabinet and the lamp's button
CLOSED = 0.0


class Goal(NamedTuple):
    """Where the finger tips should go now, and how wide the gripper should be."""

    point: np.ndarray  # (3,) m
    opening: float  # m
    lead: float = LEAD


Motion = Iterator[Goal]
Point = Callable[[], np.ndarray]


class Task(ABC):
    """One instruction's meaning: when it can be asked, when it is done, how it is said, how it is shown."""

    name: str
    kind: str
    moves: str  # the body it moves
    phrasings: tuple[str, ...]  # training
    reworded: tuple[str, ...]  # held out: known words, new form
    new_words: tuple[str, ...]  # held out: at least one content word absent from `phrasings`
    steps: int = 200  # control steps until time is up

    @abstractmethod
    def possible(self, world: World) -> bool:
        """It can be asked for now: it can be done and is not already true."""

    @abstractmethod
    def success(self, world: World) -> bool:
        """It is true now, by physics."""

    @abstractmethod
    def motion(self, world: World) -> Motion:
        """The scripted expert's goals, one a control step."""


class Expert:
    """Turns a motion into set-points."""

    def __init__(self, world: World, motion: Motion, kinematics: Kinematics) -> None:
        self._world, self._kinematics, self._motion = world, kinematics, motion
        self._last = world.setpoint()[:7]

    def act(self) -> np.ndarray | None:
        """Set-points (8,): 7 joints [rad], gripper [m]; None when the motion is over."""
        goal = next(self._motion, None)
        if goal is None:
            return None
        tcp = self._world.tcp
        across, up = goal.point[:2] - tcp[:2], goal.point[2] - tcp[2]
        across = across * min(1.0, goal.lead / max(float(np.linalg.norm(across)), 1e-9))
        point = tcp + np.append(across, np.clip(up, -goal.lead, goal.lead))  # height is held however far the goal
        change = self._kinematics.solve(point) - self._last
        self._last = self._last + change * min(1.0, STEP / max(float(np.abs(change).max()), 1e-9))
        return np.append(self._last, goal.opening).astype(np.float32)


def reach(world: World, point: Point, opening: float, tolerance: float = 0.007, funnel: float = 0.012) -> Motion:
    """Travel at a safe height, come down on a point within `funnel` metres of its vertical.

    The tolerance is as wide as the task allows: a policy that sees one frame stalls where an expert waits to be exact.
    """
    while True:
        goal, tcp = point(), world.tcp
        across = float(np.linalg.norm(goal[:2] - tcp[:2]))
        above = goal[2] + (max(SAFE, goal[2]) - goal[2]) * np.clip((across - funnel) / 0.05, 0, 1)
        if across < tolerance and abs(goal[2] - tcp[2]) < tolerance:
            return
        lag = float(np.clip(1 - (above - tcp[2] - 0.02) / 0.05, 0, 1))  # too low to travel: first up
        xy = tcp[:2] + (goal[:2] - tcp[:2]) * lag
        yield Goal(np.append(xy, above), opening)


def straight(
    world: World,
    point: Point,
    opening: float,
    tolerance: float = 0.007,
    lead: float = LEAD,
    most: int = 60,
    until: Callable[[], bool] = lambda: False,
) -> Motion:
    """Go straight to a point or until something is so; give up after `most` steps (a thing may be in the way)."""
    for _ in range(most):
        if np.linalg.norm(point() - world.tcp) < tolerance or until():
            return
        yield Goal(point(), opening, lead)


def stay(world: World, point: np.ndarray, opening: float, steps: int) -> Motion:
    """Keep still."""
    for _ in range(steps):
        yield Goal(point, opening)


def grip(world: World, opening: float, most: int = 16) -> Motion:
    """Close or open the gripper in place until it no longer moves."""
    point, last = world.tcp, np.inf
    for step in range(most):
        now = float(world.state()[7])
        if step >= 3 and abs(now - last) < 6e-4:
            return
        last = now
        yield Goal(point, opening)


def rise(world: World, opening: float, height: float = SAFE, hold: int = 14) -> Motion:
    """Go straight up, and hold there: how every demonstration ends."""
    top = np.append(world.tcp[:2], height)
    yield from straight(world, lambda: top, opening, tolerance=0.015)
    yield from stay(world, top, opening, hold)


def take(world: World, body: str, tries: int = 4) -> Motion:
    """Grasp a block and lift it; try again when it slipped."""
    for _ in range(tries):
        yield from reach(world, lambda: world.position(body), OPEN)
        yield from grip(world, CLOSED)
        if world.touched(body):
            return
        yield from grip(world, OPEN)


def clear(world: World, body: str) -> bool:
    """Nothing lies on this block."""
    from sim.scene import BLOCKS

    own = world.position(body)
    others = [world.position(b) for b in (*BLOCKS, "puck") if b != body]
    return not any(np.linalg.norm(o[:2] - own[:2]) < 0.035 and o[2] > own[2] + 0.015 for o in others)


def on_table(world: World, body: str) -> bool:
    """Lies on the table, upright, within reach, with room for open fingers beside it."""
    p = world.position(body)
    upright = abs(world.data.body(body).xmat[8]) > 0.98
    return bool(upright and p[2] < 0.03 and 0.33 < p[0] < 0.65 and -0.15 < p[1] < 0.10)
