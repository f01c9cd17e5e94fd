"""The set-point of a person who drives: within limits, only while a movement is asked for, speeds at rest at zero."""

import numpy as np
import pytest

from console.jog import HELD, SPEED, Jog
from policy.errors import InputError
from policy.robot.contract import load
from sim.worlds import load as world

ARM = load("tabletop")
DT = 0.05


def test_a_joint_moves_while_it_is_asked_for_and_stays_then() -> None:
    home = np.zeros(8)
    home[3] = -1.0
    jog = Jog(ARM, home)
    np.testing.assert_array_equal(jog.advance(0.0, DT), home)
    jog.move("panda_joint2", -0.5, 1.0)
    for step in range(20):
        target = jog.advance(1.0 + step * DT, DT).copy()
    moved = round(HELD / DT) * DT * 0.5 * SPEED * ARM.limits.velocity[1]
    np.testing.assert_allclose(target, home - np.eye(8)[1] * moved, atol=1e-6)
    jog.move("panda_joint2", 1.0, 5.0)
    jog.move("panda_joint2", 0.0, 5.0)  # the key is let go
    np.testing.assert_allclose(jog.advance(5.0, DT), target)


def test_it_stays_within_the_limits_and_begins_within_them() -> None:
    jog = Jog(ARM, np.full(8, 9.0))
    np.testing.assert_allclose(jog.target, ARM.limits.high)
    jog.move("panda_joint1", 1.0, 0.0)
    np.testing.assert_allclose(jog.advance(0.1, 100.0), ARM.limits.high)


def test_a_speed_is_there_only_while_it_is_asked_for() -> None:
    robot = world("gym-states:FetchPush-v4").contract()
    jog = Jog(robot, np.full(4, 0.7))
    assert not jog.target.any()
    jog.move("a1", -1.0, 0.0)
    assert jog.advance(0.1, DT).tolist() == [0.0, -SPEED, 0.0, 0.0]
    assert not jog.advance(HELD + 0.01, DT).any()


@pytest.mark.parametrize(("joint", "share", "why"), [("elbow", 0.5, "unknown joint"), ("panda_joint1", 1.5, "-1 to 1")])
def test_what_cannot_be_asked_for_is_refused(joint: str, share: float, why: str) -> None:
    jog = Jog(ARM, np.zeros(8))
    with pytest.raises(InputError, match=why):
        jog.move(joint, share, 0.0)
    assert not jog.advance(0.0, DT)[[0, 1, 2]].any()
