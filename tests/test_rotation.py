"""Rotation vectors relative to a reference orientation."""

import mujoco
import numpy as np
import pytest

from policy.robot.rotation import multiply, quaternion, rotation_vector

DOWN = np.array([1.0, 0.0, 0.0, 0.0])  # half a turn about x: a hand that points down


def turn(axis: list[float], angle: float) -> np.ndarray:
    """By MuJoCo, which has w first."""
    w_first = np.zeros(4)
    mujoco.mju_axisAngle2Quat(w_first, np.array(axis), angle)
    return np.roll(w_first, -1)


def test_there_and_back() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(500, 3))
    vectors *= (rng.uniform(0, np.pi - 1e-3, 500) / np.linalg.norm(vectors, axis=1))[:, None]
    vectors[0], vectors[1] = 0, [1e-12, 0, 0]
    reference = rng.normal(size=4)
    turned = quaternion(vectors, reference)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(rotation_vector(turned, reference), vectors, atol=1e-9)
    np.testing.assert_allclose(rotation_vector(-3 * turned, reference), vectors, atol=1e-9)


def test_it_agrees_with_mujoco() -> None:
    np.testing.assert_allclose(quaternion(np.array([0, 0, 0.3]), DOWN), multiply(DOWN, turn([0, 0, 1], 0.3)), atol=1e-9)
    rng = np.random.default_rng(1)
    for a, b in rng.normal(size=(20, 2, 4)):
        product = np.zeros(4)
        mujoco.mju_mulQuat(product, np.roll(a, 1), np.roll(b, 1))
        np.testing.assert_allclose(multiply(a, b), np.roll(product, -1), atol=1e-12)


def test_near_its_reference_a_hand_that_points_down_moves_smoothly() -> None:
    """Relative to the base it jumps by a whole turn; relative to a reference that points down it does not."""
    hands = [multiply(DOWN, turn([1, 0, 0], angle)) for angle in (-0.01, 0.01)]
    near, base = ([rotation_vector(hand, np.array(r)) for hand in hands] for r in (DOWN, [0.0, 0.0, 0.0, 1.0]))
    assert np.linalg.norm(near[1] - near[0]) == pytest.approx(0.02, abs=1e-6)
    assert np.linalg.norm(base[1] - base[0]) > 6
