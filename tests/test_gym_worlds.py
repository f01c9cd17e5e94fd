"""Environments of Gymnasium as worlds: the contract that spaces make, experts, a policy from nothing to its report."""

import json
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import yaml

from policy.errors import InputError
from policy.learning import recipe
from policy.robot import contract
from policy.robot.message_types import ARRAY
from policy.running.safety import SafetyMonitor
from sim.initial_states import start
from sim.worlds import load

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("name", "seeds"), [("gym:FetchPush-v4", 3), ("gym-states:FetchPickAndPlace-v4", 3), ("gym:FrankaKitchen-v1", 1)]
)
def test_its_experts_do_their_tasks(name: str, seeds: int) -> None:
    world = load(name)()
    limits = world.contract().limits
    for task in world.tasks.values():
        for seed in range(seeds):
            start(world, task, seed, "home")
            assert task.possible(world)
            held = 0
            for _, action in zip(range(task.steps), task.expert(world), strict=False):
                assert (action >= limits.low).all() and (action <= limits.high).all()
                world.step(action)
                held = held + 1 if task.success(world) else 0
                if held == world.success_steps:
                    break
            assert held == world.success_steps, f"{task.name} from seed {seed}"


def test_pictures_come_with_what_the_robot_measures_and_states_with_all_that_is_observed() -> None:
    pictures, states = load("gym:FetchPush-v4")(), load("gym-states:FetchPush-v4")()
    for world in (pictures, states):
        world.reset(np.random.default_rng(0))
    assert {name: image.shape for name, image in pictures.frame().images.items()} == {
        "front": (96, 96, 3),
        "side": (96, 96, 3),
    }
    observed = pictures.observed["observation"]
    np.testing.assert_allclose(pictures.state(), observed[[0, 1, 2, 9, 10]], rtol=1e-6)
    assert len(states.state()) == 31 and states.frame().images["front"].shape == (8, 8, 3)


def test_an_action_about_zero_is_a_speed_that_rests_at_zero() -> None:
    robot = load("gym:FetchPush-v4").contract()
    assert robot.spec.velocities == robot.spec.action and robot.action[0].unbounded
    monitor = SafetyMonitor(robot)
    second, dt = 10**9, robot.spec.dt_ns
    monitor.measured(np.zeros(len(robot.spec.state)), second)
    monitor.command(second + dt * np.arange(1, 4), np.full((3, 4), 0.1), second, second)
    assert monitor.streamed(second + 2 * dt)[0][1].tolist() == pytest.approx([0.1] * 4)
    monitor.estop(True, second + 2 * dt)
    assert not monitor.streamed(second + 3 * dt)[0][1].any()


class Offset(gymnasium.Env[np.ndarray, np.ndarray]):
    """Its actions are positions: their range is not about zero. It ends by the first, by the second at a goal."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012  Env has it so
    alive = 1.0  # reward of every step
    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Box(np.array([0.0, 1.0]), np.array([1.0, 3.0]), dtype=np.float64)

    def __init__(self, render_mode: str = "rgb_array") -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: object = None) -> tuple[np.ndarray, dict[str, object]]:
        super().reset(seed=seed)
        return np.array([0.5, -0.5], np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, object]]:
        ended = bool(action[0] > 0.9)
        return action.astype(np.float32), self.alive + float(action[1] > 1.5) * ended, ended, False, {}

    def render(self) -> np.ndarray:
        return np.full((40, 60, 3), 200, np.uint8)


@pytest.fixture(scope="module")
def offset() -> str:
    gymnasium.register("Offset-v0", Offset, max_episode_steps=7)
    return "gym:Offset-v0"


def test_any_other_action_is_a_position_that_stays_and_is_its_own_state(offset: str) -> None:
    world = load(offset)()
    robot = world.contract()
    assert robot.initial == {"a0": 0.5, "a1": 2.0} and not robot.spec.velocities
    world.reset(np.random.default_rng(0))
    assert world.state().tolist() == [0.5, -0.5, 0.5, 2.0]
    world.step(np.array([0.25, 9.0]))
    assert world.state().tolist() == [0.25, 3.0, 0.25, 9.0] and not world.done  # what is taken is within the range
    assert world.frame().images["front"].shape == (96, 96, 3)  # as the environment draws itself
    world.step(np.array([1.0, 2.0]))
    assert world.done and world.ended
    world.step(np.array([0.0, 2.0]))
    assert world.done, "nothing happens after the end"


def test_a_fall_is_no_success() -> None:
    """Of MuJoCo's walkers an end is a fall, and its last reward is often above 0."""
    ends = 0
    for name in ("gym-states:Hopper-v5", "gym-states:Humanoid-v5"):
        world, rng = load(name)(), np.random.default_rng(0)
        for _ in range(6):
            world.reset(rng)
            while not world.ended:
                world.step(rng.uniform(*world.range))
                assert not world.done
            ends += 1
    assert ends == 12


def test_an_end_is_a_success_where_its_reward_is_more_than_that_of_every_step(offset: str) -> None:
    world, rng = load(offset)(), np.random.default_rng(0)
    for last, reached in ((2.0, True), (1.0, False), (2.0, True)):
        world.reset(rng)
        world.step(np.array([0.5, 2.0]))
        assert not world.done and not world.ended
        world.step(np.array([1.0, last]))
        assert world.ended and world.done == reached
    falls = load("gym-states:InvertedPendulum-v4")()
    falls.reset(rng)
    while not falls.ended:
        falls.step(rng.uniform(*falls.range))
        assert not falls.done
    car = load("gym-states:MountainCarContinuous-v0")()
    car.reset(rng)
    while not car.ended:
        car.step(np.sign(car.state()[1:]))
    assert car.done


def test_the_task_of_an_unknown_environment_is_named_by_its_id_and_nobody_demonstrates_it(offset: str) -> None:
    world = load(offset)()
    (task,) = world.tasks.values()
    assert task.name == "offset" and task.phrasings == ("offset",) and task.steps == 7
    world.reset(np.random.default_rng(0))
    with pytest.raises(InputError, match="nobody demonstrates gym:Offset-v0"):
        next(iter(task.expert(world)))
    assert set(load("gym-states:InvertedDoublePendulum-v5").tasks) == {"inverted_double_pendulum"}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("gym:NoSuchThing-v0", "NoSuchThing.* cannot be made"),
        ("gym:CartPole-v1", r"CartPole-v1 takes Discrete.*expected a Box"),
    ],
)
def test_what_cannot_be_a_world_is_a_sentence(name: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        load(name)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"interface": "position"}, "only velocities can do without"),
        ({"measured": ["o0", "o1", "o2", "o3"]}, "only velocities can do without"),
        ({"position_min": [0.0] * 4, "position_max": [1.0] * 4}, "unbounded: got position limits beside it"),
    ],
)
def test_velocities_without_position_limits_have_none_and_nothing_that_measures_them(
    change: dict[str, object], why: str
) -> None:
    raw = yaml.safe_load(load("gym-states:FetchPush-v4").contract_text)
    assert contract.build(raw, "c").action[0].type == ARRAY
    raw["action"][0] |= change
    with pytest.raises(InputError, match=why):
        contract.build(raw, "c")


def test_a_recipe_says_how_often_its_policy_looks_again() -> None:
    chosen = recipe.load("states")
    assert chosen.runtime.replan_s == 0.1 and recipe.parse(recipe.dump(chosen)) == chosen
    with pytest.raises(InputError, match=r"runtime: replan_s: got -1.*positive"):
        recipe.parse(recipe.dump(chosen) | {"runtime": {"replan_s": -1.0}})
    with pytest.raises(InputError, match="runtime"):
        recipe.parse(recipe.dump(chosen) | {"runtime": {"replan": 1.0}})


@pytest.mark.heavy
def test_from_nothing_to_a_report(tmp_path: Path) -> None:
    """The commands of docs/gym.md, on little data: the state says all, so a minute's training does what is asked."""
    data, model, out = tmp_path / "data", tmp_path / "model", tmp_path / "eval"
    world = ["--world", "gym-states:FetchPickAndPlace-v4"]
    for command in (
        ["sim.record", *world, "--episodes", 40, "--out", data],
        [
            *("policy.train", "--recipe", "states", "--contract", data / "contract.yaml", "--bags", data),
            *("--samples", 120_000, "--out", tmp_path / "run"),
        ],
        ["policy.export", tmp_path / "run", "--out", model],
        ["sim.evaluate", model, *world, "--episodes", 20, "--films", "1", "--out", out],
    ):
        done = subprocess.run([sys.executable, "-m", *map(str, command)], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads((out / "report.json").read_text())
    assert report["tasks"]["place_block"]["successes"] >= 10
    assert json.loads((model / "spec.json").read_text())["runtime"]["replan_s"] == 0.1
    assert len(list((out / "videos").glob("*.mp4"))) == 1
