"""The road of the robot in the simulator, driven by the experts in place of a network."""

from collections.abc import Iterator

import numpy as np
import pytest

from policy.contract import load
from policy.spec import Chunk, Frame
from sim import rollout
from sim.jobs import CHAIN, Job, choose_films, plan, play
from sim.kinematics import Kinematics
from sim.tasks import TASKS, Expert
from sim.world import World


class Script:
    """Answers a frame with the expert's next set-point: what a perfect policy would do."""

    def __init__(self, world: World) -> None:
        self.contract = load("tabletop")
        self.spec = self.contract.spec
        self.instruction = self.frames = 0
        self._world, self._last = world, world.state()

    def instruct(self, text: str) -> int:
        task = next(t for t in TASKS.values() if text in t.phrasings)
        self._expert = Expert(self._world, task, Kinematics())
        self.instruction += 1
        return self.instruction

    def infer(self, frame: Frame) -> Chunk:
        self.frames += 1
        action = self._expert.act()
        self._last = self._last if action is None else action
        actions = np.tile(self._last, (self.spec.horizon, 1))
        return Chunk(frame.stamp, self.spec.dt_ns, actions, self.instruction)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An expert answers for one step only; a network for several."""
    monkeypatch.setattr(rollout, "EXECUTE", 1)
    monkeypatch.setattr(World, "frame", lambda self: Frame(self.time_ns, {}, self.state()))
    yield


@pytest.mark.parametrize("start", ["home", "other"])
def test_what_the_expert_wants_gets_through_schedule_and_guard(
        world: World, every_step: None, start: str) -> None:
    record = play(Job("main", "lamp_on", 1_000_000, start), world, Script(world))
    assert record["success"] and record["steps"] < TASKS["lamp_on"].steps
    assert record["instruction"] in TASKS["lamp_on"].phrasings


def test_an_episode_is_the_same_every_time_whatever_went_before(world: World, every_step: None) -> None:
    job = Job("main", "put_red", 1_000_001, "other")
    first, end = play(job, world, Script(world)), world.data.qpos.copy()
    play(Job("main", "open_drawer", 1_000_002, "home"), world, Script(world))
    assert play(job, world, Script(world)) == first
    np.testing.assert_array_equal(world.data.qpos, end)


def test_a_chain_does_five_things_in_one_scene(world: World, every_step: None) -> None:
    record = play(Job("chain", "", 1_000_003, "home"), world, Script(world))
    assert record["done"] == CHAIN and all(g["success"] for g in record["given"])
    assert world.time_ns == sum(g["steps"] for g in record["given"]) * load("tabletop").spec.dt_ns


def test_the_words_of_another_task_do_not_count_as_success(world: World, every_step: None) -> None:
    record = play(Job("shuffled", "open_drawer", 1_000_000, "home"), world, Script(world))
    assert record["said"] != "open_drawer" and not record["success"]
    assert record["steps"] == TASKS["open_drawer"].steps


def test_a_frame_is_taken_only_where_one_is_inferred_from(
        world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "frame", lambda self: Frame(self.time_ns, {}, self.state()))
    world.reset(np.random.default_rng(0))
    script = Script(world)
    driver = rollout.Driver(world, script)
    driver.instruct("open the drawer")
    for _ in range(rollout.EXECUTE * 3):
        driver.step()
    assert script.frames == 3
    driver.instruct("turn on the lamp")  # an event: it does not wait for the old chunk to be used up
    driver.step()
    driver.instruct("turn on the lamp")
    driver.step()
    assert script.frames == 5


def test_a_plan_mixes_starts_and_gives_every_episode_its_own_seed() -> None:
    jobs = plan(["lamp_on", "put_red"], episodes=6, held_out=3, chains=2, seed=1_000_000)
    assert len({j.seed for j in jobs}) == len(jobs) == 2 * (6 + 3 * 3) + 2
    main = [j for j in jobs if j.run == "main" and j.task == "put_red"]
    assert [j.start for j in main] == ["home", "home", "other"] * 2
    assert min(j.seed for j in jobs) == 1_000_000


def test_films_show_the_first_failures_and_one_success_of_each_task() -> None:
    jobs = [Job("main", "lamp_on", i, "home") for i in range(6)] + [Job("reworded", "lamp_on", 6, "home")]
    records = [{"success": s} for s in (True, False, True, False, False, True, False)]
    films = choose_films(records, jobs)
    assert [(name, job.seed) for name, job in films] == [
        ("lamp_on-success", 0), ("lamp_on-failure-1", 1), ("lamp_on-failure-2", 3)]
