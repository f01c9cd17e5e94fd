"""Where points of the scene are in a camera's picture."""

import mujoco
import numpy as np

NEAR = 0.02  # m in front of the camera, below which nothing is seen


def project(
    model: mujoco.MjModel, data: mujoco.MjData, camera: str, points: np.ndarray, aspect: float = 1.0
) -> np.ndarray:
    """Points (N, 3) [m] -> (N, 2), shares of the picture's width and height from its upper left corner.

    `aspect` is width / height. NaN for a point that is behind the camera; one beside the picture is beyond 0 to 1.
    """
    # a camera looks along its -z, its y points up
    seen = (points - data.camera(camera).xpos) @ data.camera(camera).xmat.reshape(3, 3)
    depth = np.where(-seen[:, 2] > NEAR, -seen[:, 2], np.nan)
    half = np.tan(np.deg2rad(float(model.camera(camera).fovy[0])) / 2)
    across, up = seen[:, 0] / (depth * half * aspect), seen[:, 1] / (depth * half)
    return np.stack([(1 + across) / 2, (1 - up) / 2], axis=1)
