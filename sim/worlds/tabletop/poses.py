"""The Franka at its table, commanded by poses of its hand: a controller of poses turns each into joint set-points."""

import mujoco
import numpy as np

from policy.robot.rotation import rotation_vector
from sim.worlds.interface import RATE
from sim.worlds.tabletop.kinematics import DOWN
from sim.worlds.tabletop.table import OPEN
from sim.worlds.tabletop.world import Tabletop

FASTEST = 2.175 / RATE  # rad, the most a joint set-point moves in a control step: the arm's own limit


class TabletopPoses(Tabletop):
    """State and action (7,): where the finger tips meet [m], rotation vector from pointing down [rad], opening [m].

    The joint set-points are those that put the hand there, by inverse kinematics from home: of each pose there is one.
    """

    name = contract_name = "tabletop_ee"
    also_recorded = ("tabletop",)
    home = np.array([0.42994984, 0.0, 0.25302252, 0.0, 0.0, 0.0, OPEN])

    def reset(self, rng: np.random.Generator) -> None:
        super().reset(rng)
        self._commanded = self.joint_setpoint()[:7]

    def step(self, action: np.ndarray, disturbance: np.ndarray | None = None) -> None:
        """Hold a pose and an opening (7,) for 0.05 s; `disturbance` (8,) is added to the joints' set-points."""
        joints = self.translated(action, "tabletop")
        self._commanded = joints[:7]
        super().step(joints, disturbance)

    def translated(self, action: np.ndarray, contract_name: str) -> np.ndarray:
        change = self.kinematics.solve(action[:3], action[3:6]) - self._commanded
        joints = self._commanded + change * min(1.0, FASTEST / max(float(np.abs(change).max()), 1e-9))
        return np.append(joints, action[6])

    def setpoint(self) -> np.ndarray:
        return self.action(self.joint_setpoint()).astype(float)

    def action(self, joints: np.ndarray) -> np.ndarray:
        return np.append(self.kinematics.pose(joints[:7]), joints[7]).astype(np.float32)

    def hand_points(self, actions: np.ndarray) -> np.ndarray:
        return np.asarray(actions[:, :3], float)

    def state(self) -> np.ndarray:
        tcp = self.data.site("tcp")
        turned = rotation_vector(_quaternion(tcp.xmat), DOWN)
        return np.concatenate([tcp.xpos, turned, [self.opening]]).astype(np.float32)


def _quaternion(matrix: np.ndarray) -> np.ndarray:
    """A rotation matrix (9,) as x, y, z, w."""
    w_first = np.zeros(4)
    mujoco.mju_mat2Quat(w_first, matrix)
    return np.roll(w_first, -1)
