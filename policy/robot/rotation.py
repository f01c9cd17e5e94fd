"""Orientations as three numbers: the rotation vector that leads to them from a reference orientation.

    reference orientation --- turn by |r| rad about r ---> orientation      r = (rx, ry, rz) in the reference's axes

A rotation vector is smooth within half a turn of its reference. Relative to the base of the robot a hand that points
down is exactly half a turn away, where the vector jumps between r and -r: its reference must point down, too.
Quaternions are (x, y, z, w) as in geometry_msgs.
"""

import numpy as np

SMALL = 1e-8  # rad


def rotation_vector(quaternion: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Quaternions (..., 4), of any length but 0, as rotation vectors (..., 3) [rad], at most half a turn."""
    relative = multiply(conjugate(_unit(reference)), _unit(quaternion))
    relative = np.where(relative[..., 3:] < 0, -relative, relative)
    sine = np.linalg.norm(relative[..., :3], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, relative[..., 3:])
    ratio = np.where(sine > SMALL, angle / np.maximum(sine, SMALL), 2.0)
    vector: np.ndarray = relative[..., :3] * ratio
    return vector


def quaternion(vector: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Rotation vectors (..., 3) [rad] as unit quaternions (..., 4)."""
    vector = np.asarray(vector, float)
    angle = np.linalg.norm(vector, axis=-1, keepdims=True)
    ratio = np.where(angle > SMALL, np.sin(angle / 2) / np.maximum(angle, SMALL), 0.5)
    return multiply(_unit(reference), np.concatenate([vector * ratio, np.cos(angle / 2)], axis=-1))


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The quaternion product a b (..., 4): first turn by a, then by b in the turned axes."""
    v, w, u, s = a[..., :3], a[..., 3:], b[..., :3], b[..., 3:]
    vector = w * u + s * v + np.cross(v, u)
    return np.concatenate([vector, w * s - np.sum(v * u, axis=-1, keepdims=True)], axis=-1)


def conjugate(quaternion: np.ndarray) -> np.ndarray:
    """The inverse turn of a unit quaternion (..., 4)."""
    inverse: np.ndarray = quaternion * np.array([-1.0, -1.0, -1.0, 1.0])
    return inverse


def _unit(quaternion: np.ndarray) -> np.ndarray:
    quaternion = np.asarray(quaternion, float)
    unit: np.ndarray = quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True)
    return unit
