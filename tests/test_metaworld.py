"""The world metaworld: the benchmark's own physics and success, its experts at 20 Hz, a scene for each task."""

import subprocess
import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest

from benchmarks import experts
from policy.errors import InputError
from sim.initial_states import start
from sim.worlds.metaworld import benchmark
from sim.worlds.metaworld.tasks import TASKS
from sim.worlds.metaworld.world import REACH, STATE, SUBSTEPS, MetaWorld

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def world() -> MetaWorld:
    return MetaWorld()


@pytest.mark.parametrize("name", ["reach", "door-open", "button-press-wall", "pick-place", "peg-insert-side"])
def test_its_expert_does_the_task_at_a_quarter_of_its_own_rate(world: MetaWorld, name: str) -> None:
    task = TASKS[name]
    start(world, task, 1, "home")
    for step, action in enumerate(task.expert(world)):
        world.step(action)
        assert step < task.steps, "it takes too long"
    assert task.success(world) and not task.possible(world)


def test_there_are_fifty_tasks_each_in_a_scene_of_its_own(world: MetaWorld) -> None:
    environments, experts = benchmark._packages()
    assert {name + benchmark.SUFFIX for name in TASKS} == set(environments) == set(experts)
    start(world, TASKS["push"], 0, "home")
    assert [task.name for task in world.tasks.values() if task.possible(world)] == ["push"]
    assert len(world.suites["mt10"]) == 10 and len(world.suites["baku30"]) == 30


def test_a_control_step_is_four_steps_of_the_benchmark_to_the_bit(world: MetaWorld) -> None:
    world.reset_to("push", np.random.default_rng(3))
    env = world._env
    buffer, after = (np.empty(mujoco.mj_stateSize(env.model, STATE)) for _ in range(2))
    mujoco.mj_getState(env.model, env.data, buffer, STATE)
    goal = world.setpoint() + np.array([0.02, 0.01, -0.03, -0.02])
    world.step(goal)
    mujoco.mj_getState(env.model, env.data, after, STATE)
    mujoco.mj_setState(env.model, env.data, buffer, STATE)
    mujoco.mj_forward(env.model, env.data)
    for left in range(SUBSTEPS, 0, -1):
        way = (goal[:3] - env.data.mocap_pos[0]) / left / REACH
        env.step(np.clip([*way, 1 - 2 * goal[3] / 0.1], -1, 1).astype(np.float32))
    again = np.empty_like(after)
    mujoco.mj_getState(env.model, env.data, again, STATE)
    np.testing.assert_array_equal(after, again)
    np.testing.assert_allclose(env.data.mocap_pos[0], goal[:3], atol=1e-6)


def test_an_episode_does_not_begin_where_another_task_of_another_scene_has_ended(world: MetaWorld) -> None:
    """It has one task, so the search for another one would not end."""
    with pytest.raises(InputError, match=r"unknown start of reach in metaworld 'other'. Valid: home"):
        start(world, TASKS["reach"], 1, "other")
    assert experts.attempt(("metaworld", "reach", 2)) == ("reach", True)


def test_to_ask_the_expert_changes_nothing(world: MetaWorld) -> None:
    world.reset_to("hammer", np.random.default_rng(0))
    before, layout = world._env._prev_obs.copy(), world.layout()
    first, second = world.demonstrated(), world.demonstrated()
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(layout, world.layout())
    np.testing.assert_array_equal(before, world._env._prev_obs)


def test_the_goal_is_in_the_picture_where_the_benchmark_has_it(world: MetaWorld) -> None:
    world.reset_to("reach", np.random.default_rng(0))
    world.step(world.setpoint())
    shown = world.render("front", 96, 96).astype(int)
    world._env._target_pos = world._env._target_pos - np.array([0.0, 0.0, 5.0])
    assert np.abs(shown - world.render("front", 96, 96)).max() > 50


def test_only_a_few_scenes_stay_loaded_and_one_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "LOADED", 1)
    world, names = MetaWorld(), list(TASKS)[:2]
    pictures = {}
    for name in [*names, names[0]]:
        world.reset_to(name, np.random.default_rng(0))
        picture = world.render("front", 48, 48)
        assert np.array_equal(pictures.setdefault(name, picture), picture)
    assert len(world._scenes._loaded) == 1


def test_without_the_benchmark_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark._packages.cache_clear()
    monkeypatch.setitem(sys.modules, "metaworld.env_dict", None)
    with pytest.raises(InputError, match=r"metaworld needs the Meta-World benchmark.*pip install --no-deps metaworld"):
        MetaWorld().reset(np.random.default_rng(0))


def test_no_instruction_can_change_where_a_scene_has_one_task(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "sim.switches",
        str(tmp_path),
        "--world",
        "metaworld",
        "--out",
        str(tmp_path / "o"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "metaworld has one task in each scene" in done.stderr
