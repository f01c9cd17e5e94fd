"""The world libero_goal beside the benchmark itself: run by test_libero_goal.py in the environment that has it."""

import numpy as np
import pytest

from policy.errors import InputError
from sim.demonstration import demonstrate
from sim.evaluation_jobs import plan
from sim.initial_states import start
from sim.worlds import load
from sim.worlds.libero_goal import looks
from sim.worlds.libero_goal.perturbed import KINDS
from sim.worlds.libero_goal.table import OFFICIAL, OPEN
from sim.worlds.libero_goal.world import LiberoGoal

pytestmark = pytest.mark.filterwarnings("ignore")
TASKS = list(LiberoGoal.tasks)


@pytest.fixture(scope="module")
def world() -> LiberoGoal:
    return LiberoGoal()


def test_libero_goal_has_the_tasks_of_the_benchmark_in_its_order(world: LiberoGoal) -> None:
    assert world.benchmark.names == TASKS
    for name in TASKS:
        assert world.tasks[name].phrasings[0] == name.replace("_", " ")


def test_libero_goal_steps_as_the_benchmark_does_to_the_bit(world: LiberoGoal) -> None:
    rng = np.random.default_rng(0)
    goals = [np.append(rng.uniform(-0.1, 0.1, 6), 0.08 * (i % 2)) for i in range(6)]
    ends, deflections = [], []
    for ours in (True, False):
        world.reset(np.random.default_rng(5))
        for i, goal in enumerate(goals):
            if ours:
                moved = world.pose + goal[:6]
                deflections.append(world._deflection(np.append(moved, goal[6])))
                world.step(np.append(moved, goal[6]))
            else:
                world.benchmark.env.step(deflections[i])
        ends.append(world.data.qpos.copy())
    np.testing.assert_array_equal(ends[0], ends[1])
    assert np.abs(deflections).max() <= 1


def test_libero_goal_reaches_a_goal_and_holds_it(world: LiberoGoal) -> None:
    world.reset(np.random.default_rng(1))
    goal = np.array([-0.1, 0.1, 1.1, 0.2, -0.3, 0.4, OPEN])
    for _ in range(70):
        world.step(goal)
    np.testing.assert_allclose(world.state()[:3], goal[:3], atol=5e-3)
    np.testing.assert_allclose(world.state()[3:6], goal[3:6], atol=3e-2)
    before = world.state()
    for _ in range(20):
        world.step(world.setpoint())
    np.testing.assert_allclose(world.state()[:6], before[:6], atol=5e-3)


def test_libero_goal_begins_where_the_benchmark_does(world: LiberoGoal) -> None:
    task = TASKS[1]
    official = world.benchmark.initial_states(task)
    assert official.shape == (50, 79)
    for seed in (1_000_000, 1_000_007):
        start(world, world.tasks[task], seed, OFFICIAL)
        objects = world.data.qpos[9:37].reshape(4, 7)[:, :2]
        np.testing.assert_allclose(objects, official[seed % 50][1 + 9 : 1 + 37].reshape(4, 7)[:, :2], atol=3e-3)
        assert world.tasks[task].possible(world) and world.time_ns == 0


def test_libero_goal_lays_out_the_arm_as_far_from_home_as_the_official_states_do(world: LiberoGoal) -> None:
    drawn = []
    for seed in range(20):
        world.reset(np.random.default_rng(seed))
        drawn.append(world.data.qpos[:7].copy())
    official = np.concatenate([world.benchmark.initial_states(task)[:, 1:8] for task in TASKS])
    assert 0.5 < np.std(drawn, axis=0).mean() / official.std(axis=0).mean() < 2
    np.testing.assert_allclose(np.mean(drawn, axis=0), official.mean(0), atol=0.02)


@pytest.mark.parametrize("name", TASKS)
def test_libero_goal_has_an_expert_that_the_benchmark_calls_successful(world: LiberoGoal, name: str) -> None:
    start(world, world.tasks[name], 900_001, "home")
    assert any(demonstrate(world, world.tasks[name]))


@pytest.mark.parametrize("name", TASKS[:3])
def test_libero_goal_begins_where_others_ended_with_an_empty_hand(world: LiberoGoal, name: str) -> None:
    start(world, world.tasks[name], 900_001, "other")
    assert world.opening > 0.9 * OPEN and not world.contact
    assert any(demonstrate(world, world.tasks[name]))


def test_libero_goal_leaves_nothing_out_of_a_picture(world: LiberoGoal, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not drawn would not be seen, on the way of an expert."""
    start(world, world.tasks[TASKS[3]], 900_002, "home")
    everything = looks.visible("agentview")
    for i, action in enumerate(world.tasks[TASKS[3]].expert(world)):
        world.step(action)
        if i % 40 == 0:
            picture = world.render("wrist", 128, 128)
            with monkeypatch.context() as patch:
                patch.setattr("sim.worlds.libero_goal.table.visible", lambda _: everything)
                np.testing.assert_array_equal(picture, world.render("wrist", 128, 128))


@pytest.mark.parametrize("kind", KINDS)
def test_a_perturbed_suite_begins_each_task_in_its_own_scene(kind: str) -> None:
    world_of = load(f"libero_goal:{kind}")
    assert list(world_of.tasks) == TASKS and world_of.contract().spec == LiberoGoal.contract().spec
    asked = plan(TASKS, world_of, episodes=2, held_out=1, chains=1, seed=0)
    assert {(job.run, job.start) for job in asked} == {("main", OFFICIAL)} and len(asked) == 20
    world = world_of()
    for name in (TASKS[0], TASKS[7]):
        task = world.tasks[name]
        start(world, task, 1_000_003, OFFICIAL)
        assert world.benchmark.scene == name and task.possible(world) and len(task.phrasings) == 1
        assert world.frame().images["front"].std() > 20
    assert not any(world.tasks[name].possible(world) or world.done(name) for name in TASKS[:7])
    with pytest.raises(InputError, match="no expert: the suite is for evaluations alone"):
        next(iter(world.tasks[TASKS[7]].expert(world)))


def test_in_other_words_the_benchmark_judges_as_before() -> None:
    world = load("libero_goal:lan")()
    start(world, world.tasks["turn_on_the_stove"], 1_000_000, OFFICIAL)
    for action in LiberoGoal.tasks["turn_on_the_stove"].expert(world):
        world.step(action)
    assert world.done("turn_on_the_stove") and world.tasks["turn_on_the_stove"].phrasings == ("switch on the stove",)


def test_another_suite_is_named() -> None:
    with pytest.raises(InputError, match=r"suite of libero_goal .dark.*lan, object, swap, task"):
        load("libero_goal:dark")
