"""The world desk_arm: what its expert does, and that its contract is what its driver's topics would say."""

import numpy as np
import pytest

from policy.robot.contract import load
from sim.worlds.desk_arm.kinematics import ARM, solve
from sim.worlds.desk_arm.touch import CLOSED, TASKS
from sim.worlds.desk_arm.world import DeskArm


@pytest.fixture(scope="module")
def world() -> DeskArm:
    return DeskArm()


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("seed", range(5))
def test_its_expert_touches_the_block_that_is_named(world: DeskArm, name: str, seed: int) -> None:
    world.reset(np.random.default_rng(seed))
    task, most = TASKS[name], world.contract().limits.velocity / world.contract().rate
    last = world.setpoint()
    for action in task.expert(world):
        assert np.abs(action - last).max() <= most.max() + 1e-6
        last = action
        world.step(action)
        assert world.time_ns < task.steps * 50_000_000, "it takes too long"
    other = next(t for t in TASKS.values() if t is not task)
    assert task.success(world) and not other.success(world) and not task.possible(world)


def test_a_hand_over_the_block_does_not_touch_it(world: DeskArm) -> None:
    task = next(iter(TASKS.values()))
    world.reset(np.random.default_rng(0))
    goal = solve(world.top(task.moved_body) + np.array([0.0, 0.0, 0.012]), CLOSED)
    for _ in range(60):
        world.step(goal)
    over = world.position("tip") - world.top(task.moved_body)
    assert np.linalg.norm(over[:2]) < 0.01 and 0.008 < over[2] < 0.016 and not task.success(world)


@pytest.mark.parametrize("point", [(0.2, 0.05, 0.03), (0.15, -0.1, 0.1), (0.23, 0.0, 0.03)])
def test_its_kinematics_put_the_tip_where_it_is_asked_for(world: DeskArm, point: tuple[float, ...]) -> None:
    world.reset(np.random.default_rng(0))
    for body in world.loose_bodies:
        world.data.joint(body).qpos[:3] = [-0.15, 0.3, 0.1]  # out of the way
    goal = solve(np.array(point), CLOSED)
    for _ in range(40):
        world.step(goal)
    np.testing.assert_allclose(world.position("tip"), point, atol=0.004)


def test_its_contract_has_the_joints_of_its_driver(world: DeskArm) -> None:
    contract = load("desk_arm")
    assert contract.spec.state == contract.spec.action == ARM == load("so101").spec.state
    np.testing.assert_allclose(contract.limits.low, world.model.actuator_ctrlrange[:, 0])
    np.testing.assert_allclose(contract.limits.high, world.model.actuator_ctrlrange[:, 1])
