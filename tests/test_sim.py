"""The simulated robot: environment, tasks, initial states, experts, ground truth."""

from itertools import pairwise

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from policy.errors import InputError
from policy.robot.contract import load
from sim.demonstration import demonstrate
from sim.initial_states import start
from sim.worlds.interface import RATE, SUCCESS_STEPS
from sim.worlds.tabletop.tasks import TASKS
from sim.worlds.tabletop.tasks.memory import LOOK
from sim.worlds.tabletop.world import Tabletop

UNSEEN = 1_500_000
PHRASED = {**Tabletop.every_task(), LOOK.name: LOOK}


@pytest.fixture(scope="module")
def world() -> Tabletop:
    return Tabletop()


def test_the_environment_passes_gymnasium_s_checker() -> None:
    env = gymnasium.make("sim:midstream/Tabletop-v0", task="open_drawer", render_mode="rgb_array")
    check_env(env.unwrapped)
    env.reset(seed=0)
    assert env.render().shape == (480, 640, 3)


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'open_drawer'"):
        gymnasium.make("sim:midstream/Tabletop-v0", task="open_drawr")


def test_rollouts_of_one_seed_are_equal() -> None:
    def rollout() -> tuple[str, list[dict[str, np.ndarray]]]:
        env = gymnasium.make("sim:midstream/Tabletop-v0", task="put_red")
        observation, info = env.reset(seed=7, options={"start": "other"})
        env.action_space.seed(3)
        observations = [observation, *(env.step(env.action_space.sample())[0] for _ in range(5))]
        return info["instruction"], observations

    (instruction, first), (repeated, second) = rollout(), rollout()
    assert instruction == repeated
    for a, b in zip(first, second, strict=True):
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


def test_at_least_twelve_tasks_of_six_kinds_share_one_scene() -> None:
    assert len(TASKS) >= 12
    assert len({t.kind for t in TASKS.values()}) >= 6


def test_images_do_not_reveal_the_task() -> None:
    """All tasks share one distribution of layouts: in each layout most of them are possible."""
    world, possible = Tabletop(), []
    for seed in range(20):
        world.reset(np.random.default_rng(seed))
        possible.append(sum(t.possible(world) for t in TASKS.values()))
    assert np.mean(possible) > 6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "i"),
    [
        pytest.param(name, i, marks=() if i == n % 3 else pytest.mark.heavy)  # one of three in CI
        for n, name in enumerate(TASKS)
        for i in range(3)
    ],
)
def test_the_expert_succeeds_from_every_kind_of_initial_state(name: str, i: int, world: Tabletop) -> None:
    task, kind = TASKS[name], ("home", "other", "near_miss")[i]
    start(world, task, UNSEEN + i, kind)
    assert not task.success(world)
    assert any(demonstrate(world, task)), f"{name} from {kind}, seed {UNSEEN + i}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "body"), [("puck_white", "puck"), pytest.param("stack_red_on_blue", "red", marks=pytest.mark.heavy)]
)
def test_a_near_miss_has_moved_the_object_and_left_the_hand_above_it(name: str, body: str, world: Tabletop) -> None:
    task, moved = TASKS[name], []
    for seed in range(UNSEEN, UNSEEN + 6):
        start(world, task, seed, "home")
        place = world.position(body)
        start(world, task, seed, "near_miss")
        assert task.possible(world) and not task.success(world)
        assert not world.touched(body) and world.tcp[2] - world.position(body)[2] > 0.1
        now = world.state()
        moved.append(np.linalg.norm(world.position(body) - place) > 0.03)
        start(world, task, seed, "near_miss")
        np.testing.assert_array_equal(world.state(), now)
    assert any(moved), "the hand opened before the object was moved, each time"


@pytest.mark.parametrize("name", TASKS)
def test_doing_nothing_does_not_succeed(name: str, world: Tabletop) -> None:
    task = TASKS[name]
    start(world, task, UNSEEN, "home")
    still = world.setpoint()
    for _ in range(2 * SUCCESS_STEPS):
        world.step(still)
        assert not task.success(world)


@pytest.mark.parametrize("name", PHRASED)
def test_held_out_phrasings_are_held_out(name: str) -> None:
    task = PHRASED[name]
    words = {w for p in task.phrasings for w in p.replace(",", "").split()}
    trained = {w for t in PHRASED.values() for p in t.phrasings for w in p.replace(",", "").split()}
    assert not set(task.phrasings) & (set(task.reworded) | set(task.new_words))
    for phrase in task.reworded:
        assert set(phrase.replace(",", "").replace(":", "").split()) <= trained, phrase
    for phrase in task.new_words:
        assert set(phrase.replace(",", "").split()) - words, phrase


def test_contact_is_true_while_a_block_is_held(world: Tabletop) -> None:
    task = TASKS["put_blue"]
    start(world, task, UNSEEN, "home")
    seen = []
    for _ in demonstrate(world, task):
        seen.append((world.contact, world.position("blue")[2] > 0.08))
    assert not seen[0][0]
    carried = [contact for contact, lifted in seen if lifted]
    assert len(carried) > 5 and all(carried)


def test_the_lamp_toggles_once_for_each_press(world: Tabletop) -> None:
    task = TASKS["lamp_on"]
    start(world, task, UNSEEN, "home")
    lit = [world.lamp]
    for _ in demonstrate(world, task):
        lit.append(world.lamp)
    assert sum(a != b for a, b in pairwise(lit)) == 1


def test_the_set_points_of_an_expert_keep_to_the_velocity_limits(world: Tabletop) -> None:
    limit = load("tabletop").limits.velocity / RATE
    task = TASKS["put_green"]
    start(world, task, UNSEEN, "home")
    last = world.setpoint()
    for action in task.expert(world):
        assert np.all(np.abs(action - last) <= limit + 1e-6)
        world.step(action)
        last = action
