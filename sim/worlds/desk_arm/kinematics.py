"""Inverse kinematics of the desk arm with its hand pointing down: closed form, elbow up.

    elbow o-----o wrist     lengths in metres, angles in radians;
         /      |           at zero the upper arm is upright, the others point forward
        /       v tip
shoulder
"""

import numpy as np

ARM = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
SHOULDER = np.array([0.03, 0.12])  # distance from the axis of the pan, and height
LINK = 0.13  # of the upper arm, and of the forearm
HAND = 0.104  # from the wrist's axis to the tip


def solve(point: np.ndarray, gripper: float) -> np.ndarray:
    """Joints (6,) that put the tip at `point` (3,); one out of reach is approached as far as the arm goes."""
    across, up = np.array([np.hypot(*point[:2]), point[2] + HAND]) - SHOULDER
    distance = np.clip(np.hypot(across, up), 1e-3, 2 * LINK - 1e-3)
    middle, bent = np.arctan2(across, up), np.arccos(distance / (2 * LINK))
    upper, forearm = middle - bent, middle + bent  # from the vertical
    pan = np.arctan2(point[1], point[0])
    return np.array([pan, upper, forearm - upper - np.pi / 2, np.pi - forearm, 0.0, gripper])
