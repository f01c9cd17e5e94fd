"""Inverse kinematics: joint positions that put the finger tips at a point, gripper down and square to the table."""

import mink
import numpy as np

from sim.worlds.tabletop.layout import HOME
from sim.worlds.tabletop.scene import ARM, FINGERS, build_robot


class Kinematics:
    """Differential inverse kinematics of the arm (mink), always solved from home with a posture task.

    Each point so has one solution, whatever came before: seven joints leave the elbow free, and demonstrations whose
    elbow depends on their history are harder to learn from.
    """

    def __init__(self) -> None:
        model = build_robot()
        self._configuration = mink.Configuration(model)
        self._qpos = np.array([model.joint(n).qposadr[0] for n in ARM])
        q = self._configuration.q.copy()
        q[self._qpos] = HOME
        q[[model.joint(n).qposadr[0] for n in FINGERS]] = 0.04
        self._home = q
        self._frame = mink.FrameTask("tcp", "site", position_cost=1.0, orientation_cost=0.3)
        posture = mink.PostureTask(model, cost=2e-3)
        posture.set_target(q)
        self._tasks = [self._frame, posture]
        self._limits = [mink.ConfigurationLimit(model)]
        down = np.array([0.0, 1.0, 0.0, 0.0])  # half a turn about x
        self._down = mink.SO3(down)

    def solve(self, point: np.ndarray, iterations: int = 7) -> np.ndarray:
        """Joint positions (7,) [rad] that put the finger tips at `point` (3,) [m]."""
        self._configuration.update(self._home)
        self._frame.set_target(mink.SE3.from_rotation_and_translation(self._down, np.asarray(point, float)))
        for _ in range(iterations):
            velocity = mink.solve_ik(self._configuration, self._tasks, 1.0, "daqp", damping=1e-6, limits=self._limits)
            self._configuration.integrate_inplace(velocity, 1.0)
        return np.array(self._configuration.q[self._qpos])
