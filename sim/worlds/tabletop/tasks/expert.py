"""The scripted expert: a motion of the finger tips as set-points of the joints."""

from collections.abc import Iterator

import numpy as np

from sim.worlds.tabletop.table import Table
from sim.worlds.tabletop.tasks.motions import Motion

STEP = 0.10  # rad, the most a joint set-point moves in a control step: within the real arm's 2.175 rad/s


class Expert(Iterator[np.ndarray]):
    """Turns a motion into set-points (A,) float32 of its world; it ends when the motion is over."""

    def __init__(self, world: Table, motion: Motion) -> None:
        self._world, self._motion = world, motion
        self._last = world.joint_setpoint()[:7]

    def __next__(self) -> np.ndarray:
        goal = next(self._motion)
        tcp = self._world.tcp
        across, up = goal.point[:2] - tcp[:2], goal.point[2] - tcp[2]
        across = across * min(1.0, goal.lead / max(float(np.linalg.norm(across)), 1e-9))
        point = tcp + np.append(across, np.clip(up, -goal.lead, goal.lead))  # height is held however far the goal
        change = self._world.kinematics.solve(point) - self._last
        self._last = self._last + change * min(1.0, STEP / max(float(np.abs(change).max()), 1e-9))
        return self._world.action(np.append(self._last, goal.opening))
