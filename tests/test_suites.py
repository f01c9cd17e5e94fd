"""Tasks of the suites: of memory, with their history in the same bag, and of two modes; in no flagship figure."""

from pathlib import Path

import numpy as np
import pytest

from policy.data.bag_files import find_bags
from policy.data.episodes import read_episodes
from policy.errors import InputError
from policy.robot.contract import load as load_contract
from policy.running.text import Sentence
from policy.spec import Frame
from sim import plain_report, record, switches
from sim.demonstration import demonstrate
from sim.evaluation_jobs import EpisodeJob, plan, play
from sim.initial_states import start
from sim.worlds.interface import Task
from sim.worlds.tabletop.layout import BLOCK_AREA
from sim.worlds.tabletop.tasks.memory import BACK, LOOK
from sim.worlds.tabletop.tasks.modes import AREA, BLOCK, HEIGHT
from sim.worlds.tabletop.world import Tabletop
from tests.scripted import ExpertSession

STRIDE = 4  # frames between two of a policy's memory
EVERY = Tabletop.every_task()
SUITES = [name for suite in Tabletop.suites.values() for name in suite]


@pytest.fixture(scope="module")
def world() -> Tabletop:
    return Tabletop()


@pytest.fixture
def without_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tabletop, "frame", lambda self: Frame(self.time_ns, {}, self.state()))


class RememberingSession(ExpertSession):
    """Knows the phrasings of every task, and does another task for those in `mistakes`."""

    def __init__(self, world: Tabletop, mistakes: dict[str, str] | None = None) -> None:
        super().__init__(world)
        self._mistakes = mistakes or {}

    def embed(self, text: str) -> Sentence:
        task = next(t for t in (*EVERY.values(), LOOK) if text in t.phrasings)
        meant: Task = EVERY[self._mistakes.get(task.name, task.name)] if task is not LOOK else LOOK
        self._expert, self._last = meant.expert(self._world), self._world.setpoint()
        return super(ExpertSession, self).embed(text)


def test_suites_are_asked_for_by_name_and_in_no_flagship_figure() -> None:
    assert set(Tabletop.named("memory")) == {"put_back", "do_what_the_lamp_said"}
    assert Tabletop.named("modes") == ["round_block"] and Tabletop.named("put_back,lamp_on") == ["put_back", "lamp_on"]
    assert Tabletop.named("lamp_on,memory,put_back") == ["lamp_on", *Tabletop.named("memory")]
    assert not set(SUITES) & {*Tabletop.named("all"), *Tabletop.tasks}
    with pytest.raises(InputError, match="unknown task 'memori'"):
        Tabletop.named("memori")
    jobs = plan(["put_back"], Tabletop, episodes=6, held_out=3, chains=5, seed=1_000_000)
    assert {j.run for j in jobs} == {"main", "reworded", "new_words"} and {j.start for j in jobs} == {"home"}


@pytest.mark.slow
@pytest.mark.parametrize("name", SUITES)
def test_the_expert_does_what_comes_first_and_then_the_task(name: str, world: Tabletop) -> None:
    task = EVERY[name]
    for seed in range(1_500_000, 1_500_004):
        start(world, task, seed, "home")
        first = task.first(world)
        assert not task.success(world) or name == "put_back"
        if first is not None:
            assert list(demonstrate(world, first))[-1]
        assert not task.success(world)
        assert list(demonstrate(world, task))[-1], f"{name}, seed {seed}"


# -- put it back


@pytest.mark.slow
def test_before_it_is_to_be_put_back_the_hand_has_left_the_block_elsewhere(world: Tabletop) -> None:
    task = EVERY["put_back"]
    for seed in range(1_500_000, 1_500_004):
        start(world, task, seed, "home")
        block, place = world.notes["block"], world.notes["place"]
        first = task.first(world)
        assert first is not None and list(demonstrate(world, first))[-1]
        assert np.linalg.norm(world.position(block)[:2] - place[:2]) > BACK
        assert not world.touched(block) and world.tcp[2] - world.position(block)[2] > 0.06


def test_the_place_to_be_remembered_is_drawn_uniformly(world: Tabletop) -> None:
    places = []
    for seed in range(60):
        start(world, EVERY["put_back"], seed, "home")
        places.append(world.notes["place"][:2])
    for axis, (low, high) in enumerate(BLOCK_AREA):
        shares = np.histogram([p[axis] for p in places], 4, (low - 0.01, high + 0.01))[0] / len(places)
        assert shares.sum() == pytest.approx(1) and shares.min() > 0.1
    assert {world.notes["block"] for seed in range(12) if start(world, EVERY["put_back"], seed, "home") is None} == {
        "red",
        "blue",
    }


# -- do what the lamp said


def blinks(world: Tabletop, seed: int) -> tuple[int, list[int], int]:
    """How often the lamp blinks, for how many control steps it is lit and dark in between, and how long all takes."""
    start(world, EVERY["do_what_the_lamp_said"], seed, "home")
    lit, still = [world.lamp], world.setpoint()
    while not LOOK.success(world):
        world.step(still)
        lit.append(world.lamp)
    assert not lit[0] and not lit[-1] and not world.lamp
    changes = np.flatnonzero(np.diff(np.array(lit, int)))
    return len(changes) // 2, np.diff(changes).tolist(), len(lit)


@pytest.mark.slow
def test_the_lamp_blinks_once_or_twice_long_enough_and_the_time_tells_nothing(world: Tabletop) -> None:
    seen = [blinks(world, seed) for seed in range(40)]
    counts = [times for times, _, _ in seen]
    assert set(counts) == {1, 2} and 0.25 < counts.count(1) / len(counts) < 0.75
    assert all(steps >= 2 * STRIDE for _, lasting, _ in seen for steps in lasting)
    once, twice = ([total for times, _, total in seen if times == n] for n in (1, 2))
    assert abs(np.mean(once) - np.mean(twice)) < 6, "the whole lasts as long for one as for two"


def test_one_blink_means_left_and_two_mean_right(world: Tabletop) -> None:
    task = EVERY["do_what_the_lamp_said"]
    for seed in range(8):
        times, _, _ = blinks(world, seed)
        for side, sign in (("left", 1), ("right", -1)):
            world.move_joint("slider", 0.095 * sign)
            assert task.success(world) == ((times == 1) == (side == "left"))


# -- recordings and evaluation


@pytest.mark.slow
def test_a_bag_holds_the_whole_history_under_both_instructions(tmp_path: Path) -> None:
    record.main(["--tasks", "memory", "--episodes", "1", "--out", str(tmp_path / "bags"), "--processes", "1"])
    contract, bags = load_contract("tabletop"), find_bags(tmp_path / "bags")
    assert [b.name for b in bags] == [f"{name}_0000" for name in sorted(Tabletop.suites["memory"])]
    for bag in bags:
        first, second = read_episodes(bag, contract)
        assert second.task in Tabletop.suites["memory"] and second.instruction in EVERY[second.task].phrasings
        assert first.task in ("look_at_the_lamp", "stack_red_on_blue", "stack_blue_on_red")
        assert second.stamps[0] - first.stamps[-1] == contract.spec.dt_ns, "one recording, without a gap"
    assert switches.plan(tmp_path / "bags", tmp_path / "out") == []


@pytest.mark.slow
@pytest.mark.parametrize("name", SUITES)
def test_a_policy_that_remembers_succeeds(name: str, world: Tabletop, without_images: None) -> None:
    made = play(EpisodeJob("main", name, 1_000_000, "home"), world, RememberingSession(world))
    assert made["success"] and made.get("first_success", True)
    assert (made["outcome"] in ("left", "right")) == (name == "round_block")


@pytest.mark.slow
def test_what_was_never_moved_is_not_put_back(world: Tabletop, without_images: None) -> None:
    """A policy that leaves the block alone has it in its place: that is no success."""
    idle = RememberingSession(world, {"stack_red_on_blue": "lamp_on", "stack_blue_on_red": "lamp_on"})
    made = play(EpisodeJob("main", "put_back", 1_000_001, "home"), world, idle)
    assert not made["first_success"] and not made["success"]


# -- two modes


def test_the_block_is_passed_on_both_sides_and_the_side_is_reported(world: Tabletop) -> None:
    task, taken = EVERY["round_block"], []
    for seed in range(12):
        start(world, task, seed, "home")
        place = world.position(BLOCK)
        assert AREA[0][0] - 1e-6 <= place[0] <= AREA[0][1] + 1e-6 and not task.success(world)
        side = {1: "left", -1: "right"}[world.notes["side"]]
        assert list(demonstrate(world, task))[-1] and task.outcome(world) == side
        taken.append(side)
        world.move_block(BLOCK, place + np.array([0.01, 0, 0]))
        assert not task.success(world), "it was touched on the way"
    assert 3 <= taken.count("left") <= 9


def test_straight_through_the_block_is_a_failure(world: Tabletop) -> None:
    """What the average of both ways does."""
    task = EVERY["round_block"]
    start(world, task, 0, "home")
    place = world.position(BLOCK)
    for x in np.linspace(place[0] - 0.11, place[0] + 0.11, 60):
        joints = world.kinematics.solve(np.array([x, place[1], HEIGHT]))
        for _ in range(2):
            world.step(np.append(joints, 0.0))
        assert not task.success(world)
    assert np.linalg.norm(world.position(BLOCK) - place) > 0.02


def test_straight_over_the_block_is_no_way_round_it(world: Tabletop) -> None:
    task = EVERY["round_block"]
    start(world, task, 0, "home")
    place = world.position(BLOCK)
    for x, z in [*((x, 0.065) for x in np.linspace(place[0] - 0.11, place[0] + 0.11, 60)), (place[0] + 0.11, HEIGHT)]:
        joints = world.kinematics.solve(np.array([x, place[1], z]))
        for _ in range(2 if z > HEIGHT else 20):
            world.step(np.append(joints, 0.0))
    assert np.linalg.norm(world.position(BLOCK) - place) < 0.005 and not task.success(world)


def test_the_report_counts_the_ways_of_the_successes() -> None:
    def made(success: bool, outcome: str) -> dict[str, object]:
        return {
            "run": "main",
            "task": "round_block",
            "success": success,
            "outcome": outcome,
            "start": "home",
            "steps": 1,
            "interventions": {},
        }

    settings = {"policy": "p", "sha256": "s", "seed": 1, "tasks": ["round_block"]}
    counted = plain_report.summarise(
        settings, [made(True, "left"), made(True, "right"), made(True, "left"), made(False, "left")]
    )
    assert counted["outcomes"] == {"round_block": {"left": 2, "right": 1}}
