"""Inverse kinematics of an arm whose gripper points down: closed form, elbow up.

elbow o------o wrist     lengths in metres, angles in radians;
     /       |           a positive joint turns what follows it down
    /        v tips
shoulder
"""

import numpy as np

from sim.worlds.two_arms.scene import BASE

SHOULDER = 0.12705  # height of the shoulder's axis
UPPER, UPPER_ANGLE = float(np.hypot(0.05955, 0.3)), float(np.arctan2(0.3, 0.05955))  # at zero
FOREARM = 0.3
HAND = 0.069744 + 0.110  # from the wrist's axis to where the finger tips meet


def solve(side: str, point: np.ndarray, yaw: float) -> np.ndarray:
    """Joints (6,) that put the finger tips at `point` (3,), the fingers opening along the y axis turned by `yaw`.

    `yaw` is within a quarter turn. A point out of reach is approached as far as the arm goes.
    """
    facing = -np.sign(BASE[side])
    x, y = facing * (point[0] - BASE[side]), facing * point[1]
    waist = np.arctan2(y, x)
    reach, height = np.hypot(x, y), point[2] + HAND - SHOULDER
    distance = np.clip(np.hypot(reach, height), abs(UPPER - FOREARM) + 1e-3, UPPER + FOREARM - 1e-3)
    angle = np.arctan2(height, reach)
    upper = angle + np.arccos((UPPER**2 + distance**2 - FOREARM**2) / (2 * UPPER * distance))
    forearm = np.arctan2(
        distance * np.sin(angle) - UPPER * np.sin(upper), distance * np.cos(angle) - UPPER * np.cos(upper)
    )
    shoulder = UPPER_ANGLE - upper
    elbow = -forearm - shoulder
    return np.array([waist, shoulder, elbow, 0.0, np.pi / 2 + forearm, waist - yaw])
