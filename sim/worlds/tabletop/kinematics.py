"""Kinematics of the arm: where joints put the finger tips, and which joint positions put them somewhere.

A pose is where the finger tips meet [m], then a rotation vector [rad] from the gripper pointing down, square to the
table (policy.robot.rotation).
"""

import mink
import numpy as np

from policy.robot.rotation import quaternion, rotation_vector
from sim.worlds.tabletop.layout import HOME
from sim.worlds.tabletop.scene import ARM, FINGERS, build_robot

DOWN = np.array([1.0, 0.0, 0.0, 0.0])  # x, y, z, w: half a turn about x
UPRIGHT = np.zeros(3)


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

    def solve(self, point: np.ndarray, turned: np.ndarray = UPRIGHT, iterations: int = 7) -> np.ndarray:
        """Joint positions (7,) [rad] that put the finger tips at `point` (3,) [m], turned by a rotation vector (3,)."""
        self._configuration.update(self._home)
        orientation = mink.SO3(np.roll(quaternion(turned, DOWN), 1))  # w first
        self._frame.set_target(mink.SE3.from_rotation_and_translation(orientation, np.asarray(point, float)))
        for _ in range(iterations):
            velocity = mink.solve_ik(self._configuration, self._tasks, 1.0, "daqp", damping=1e-6, limits=self._limits)
            self._configuration.integrate_inplace(velocity, 1.0)
        return np.array(self._configuration.q[self._qpos])

    def pose(self, joints: np.ndarray) -> np.ndarray:
        """The pose (6,) at joint positions (7,) [rad]."""
        q = self._home.copy()
        q[self._qpos] = joints
        self._configuration.update(q)
        reached = self._configuration.get_transform_frame_to_world("tcp", "site")
        return np.append(reached.translation(), rotation_vector(np.roll(reached.rotation().wxyz, -1), DOWN))
