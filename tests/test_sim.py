"""The simulated robot: its environment, its tasks, its experts, its ground truth."""

from itertools import pairwise

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from policy.errors import InputError
from sim.initial_states import start
from sim.kinematics import Kinematics
from sim.tasks import HOLD, TASKS, demonstrate
from sim.world import World

UNSEEN = 1_500_000


@pytest.fixture(scope="module")
def world():
    return World()


@pytest.fixture(scope="module")
def kinematics():
    return Kinematics()


def test_environment_is_a_gymnasium_environment():
    env = gymnasium.make("sim:midstream/Tabletop-v0", task="open_drawer", render_mode="rgb_array")
    check_env(env.unwrapped)
    env.reset(seed=0)
    assert env.render().shape == (480, 640, 3)


def test_unknown_task_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'open_drawer'"):
        gymnasium.make("sim:midstream/Tabletop-v0", task="open_drawr")


def test_same_seed_same_rollout():
    def rollout():
        env = gymnasium.make("sim:midstream/Tabletop-v0", task="put_red")
        observation, info = env.reset(seed=7, options={"start": "other"})
        env.action_space.seed(3)
        seen = [observation, *(env.step(env.action_space.sample())[0] for _ in range(5))]
        return info["instruction"], seen

    (words, first), (again, second) = rollout(), rollout()
    assert words == again
    for a, b in zip(first, second, strict=True):
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


def test_at_least_twelve_tasks_of_six_kinds_share_one_scene():
    assert len(TASKS) >= 12
    assert len({t.kind for t in TASKS.values()}) >= 6


def test_images_do_not_tell_the_task():
    """The layout is drawn alike for all tasks: in one scene most of them can be asked for."""
    world, possible = World(), []
    for seed in range(20):
        world.reset(np.random.default_rng(seed))
        possible.append(sum(t.possible(world) for t in TASKS.values()))
    assert np.mean(possible) > 6


@pytest.mark.parametrize("name", TASKS)
def test_expert_succeeds_and_nothing_is_true_before(name, world, kinematics):
    task = TASKS[name]
    for i, kind in enumerate(("home", "other", "near_miss")):
        start(world, task, UNSEEN + i, kind)
        assert not task.success(world)
        assert any(demonstrate(world, task, kinematics)), f"{name} from {kind}, seed {UNSEEN + i}"


@pytest.mark.parametrize(("name", "thing"), [("stack_red_on_blue", "red"), ("puck_white", "puck")])
def test_a_task_just_missed_has_moved_its_thing_and_can_be_done_again_by_the_hand_above(name, thing, world):
    task, moved = TASKS[name], []
    for seed in range(UNSEEN, UNSEEN + 6):
        start(world, task, seed, "home")
        lay = world.position(thing)
        start(world, task, seed, "near_miss")
        assert task.possible(world) and not task.success(world)
        assert not world.touched(thing) and world.tcp[2] - world.position(thing)[2] > 0.1
        now = world.state()
        moved.append(np.linalg.norm(world.position(thing) - lay) > 0.03)
        start(world, task, seed, "near_miss")
        np.testing.assert_array_equal(world.state(), now)
    assert any(moved), "each time it let go before it had taken it"


@pytest.mark.parametrize("name", TASKS)
def test_doing_nothing_does_not_succeed(name, world):
    task = TASKS[name]
    start(world, task, UNSEEN, "home")
    still = world.setpoint()
    for _ in range(2 * HOLD):
        world.step(still)
        assert not task.success(world)


@pytest.mark.parametrize("name", TASKS)
def test_held_out_phrasings_are_held_out(name):
    task = TASKS[name]
    words = {w for p in task.phrasings for w in p.replace(",", "").split()}
    heard = {w for t in TASKS.values() for p in t.phrasings for w in p.replace(",", "").split()}
    assert not set(task.phrasings) & (set(task.reworded) | set(task.new_words))
    for phrase in task.reworded:
        assert set(phrase.replace(",", "").replace(":", "").split()) <= heard, phrase
    for phrase in task.new_words:
        assert set(phrase.replace(",", "").split()) - words, phrase


def test_contact_is_felt_when_a_block_is_held(world, kinematics):
    task = TASKS["put_blue"]
    start(world, task, UNSEEN, "home")
    felt = []
    for _ in demonstrate(world, task, kinematics):
        felt.append((world.contact, world.position("blue")[2] > 0.08))
    assert not felt[0][0]
    carried = [contact for contact, lifted in felt if lifted]
    assert len(carried) > 5 and all(carried)


def test_lamp_toggles_once_a_press(world, kinematics):
    task = TASKS["lamp_on"]
    start(world, task, UNSEEN, "home")
    lit = [world.lamp]
    for _ in demonstrate(world, task, kinematics):
        lit.append(world.lamp)
    assert sum(a != b for a, b in pairwise(lit)) == 1


def test_commands_stay_within_the_arm_s_speed(world, kinematics):
    """No set-point moves further in a step than the contract's velocity limits allow."""
    from policy.robot import contract
    from sim.tasks import Expert

    groups = contract.load("tabletop").action
    limit = np.concatenate([g.velocity_max for g in groups]) / 20
    task = TASKS["put_green"]
    start(world, task, UNSEEN, "home")
    expert, last = Expert(world, task.motion(world), kinematics), world.setpoint()
    while (action := expert.act()) is not None:
        assert np.all(np.abs(action - last) <= limit + 1e-6)
        world.step(action)
        last = action
