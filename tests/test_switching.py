"""The switches of an evaluation: how they are drawn, and how experts and the baselines execute them."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from policy.robot.contract import load
from policy.spec import Frame
from sim.switch_evaluation import counterfactual, metrics, recorded_episode, switch_episode
from sim.switch_evaluation.counterfactual import Counterfactual
from sim.switch_evaluation.methods import BASELINES, METHODS, OPENING, way_home
from sim.switch_evaluation.switch_episode import LAYOUTS, play
from sim.switch_evaluation.switch_jobs import PHASES, SwitchJob, ordered_pairs, plan
from sim.worlds.interface import GRACE, RATE
from sim.worlds.tabletop.layout import HOME
from sim.worlds.tabletop.table import OPEN
from sim.worlds.tabletop.tasks import TASKS
from sim.worlds.tabletop.world import Tabletop
from tests.scripted import ExpertSession

LIMITS = load("tabletop").limits


@pytest.fixture(scope="module")
def world() -> Tabletop:
    return Tabletop()


@pytest.fixture
def by_experts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An expert infers in every control step, at once and without images."""
    monkeypatch.setattr(recorded_episode, "DELAY", 0)
    monkeypatch.setattr(Tabletop, "frame", lambda self: Frame(self.time_ns, {}, self.state()))
    yield


def job(run: str, a: str, b: str, method: str = "ours", seed: int = 1_000_000) -> SwitchJob:
    return SwitchJob(method, run, seed, ((a, b),), tuple(TASKS))


# -- what is planned


def test_in_every_round_each_task_is_on_both_sides() -> None:
    pairs = ordered_pairs(TASKS, np.random.default_rng(0))
    assert len(set(pairs)) == len(pairs) == len(TASKS) * (len(TASKS) - 1)
    for i in range(0, len(pairs), len(TASKS)):
        for side in (0, 1):
            assert {pair[side] for pair in pairs[i : i + len(TASKS)]} == set(TASKS)


def test_a_plan_gives_every_method_the_same_switches() -> None:
    jobs = plan(TASKS, ["early", "mid"], None, 40, 1_000_000, list(METHODS))
    ours = [(j.run, j.seed, j.pairs) for j in jobs if j.method == "ours"]
    assert len({seed for _, seed, _ in ours}) == len(ours)
    assert Counter(run for run, _, _ in ours) == {
        "early": 40,
        "mid": 40,
        "false_switch": 20,
        "three_switches": 20,
        "switch_back": 20,
    }
    for method in BASELINES:
        assert [(j.run, j.seed, j.pairs) for j in jobs if j.method == method] == ours


def test_fewer_pairs_are_drawn_by_the_seed() -> None:
    def drawn(seed: int) -> set[tuple[str, str]]:
        return {pair for j in plan(TASKS, ["mid"], 5, 30, seed, ["ours"]) for pair in j.pairs}

    assert len(drawn(1_000_000)) == 5 and drawn(1_000_000) == drawn(1_000_000) != drawn(1_000_001)


def undisturbed(contact: str, success_step: int | None, can_switch: str = "") -> Counterfactual:
    """A counterfactual with a mark for each control step, "1" in contact, and enough steps after them."""
    steps = [mark == "1" for mark in contact] + [False] * counterfactual.AFTER
    possible = [mark == "1" for mark in can_switch] or [True] * len(steps)
    return Counterfactual(np.zeros((len(steps), 8)), np.array(steps), np.array(possible), success_step, None)


def test_a_switch_is_drawn_within_its_phase() -> None:
    made = undisturbed("0000011110000000000", success_step=18)
    assert made.switch_steps("early").tolist() == [2, 3, 4, 5]  # control steps that have been taken
    assert made.switch_steps("mid").tolist() == [6, 7, 8, 9]
    assert made.switch_steps("late").tolist() == list(range(10, 10 + RATE))


def test_a_contact_that_outlasts_the_success_is_still_one_and_a_later_one_is_not() -> None:
    made = undisturbed("00000" + "1" * 5 + "00" + "1" * 3 + "0" * 10 + "11", success_step=8)
    assert made.switch_steps("mid").tolist() == [6, 7, 8, 9, 10, 13, 14, 15]
    assert made.switch_steps("late").tolist() == [s for s in range(16, 16 + RATE) if s not in (26, 27)]


def test_there_is_no_late_switch_without_success_and_none_without_contact() -> None:
    assert len(undisturbed("0000111000", success_step=None).switch_steps("late")) == 0
    assert all(len(undisturbed("0" * 12, success_step=11).switch_steps(phase)) == 0 for phase in PHASES)


def test_a_task_that_is_already_done_is_not_asked_for() -> None:
    contact = "0001111000"
    made = undisturbed(contact, 9, can_switch="0000010" + "1" * (len(contact) - 7 + counterfactual.AFTER))
    assert made.switch_steps("early").tolist() == [] and made.switch_steps("mid").tolist() == [6]


# -- the methods


def test_the_way_home_opens_first_and_keeps_to_the_limits() -> None:
    now = np.append(HOME + 0.7 * np.array([1, -1, 1, 1, -1, 1, -1]), 0.02)
    way = way_home(now, Tabletop.home, LIMITS.velocity, load("tabletop").grippers)
    np.testing.assert_allclose(way[:OPENING], np.append(now[:7], OPEN)[None].repeat(OPENING, 0))
    np.testing.assert_allclose(way[-1], np.append(HOME, OPEN))
    steps = np.abs(np.diff(way[:, :7], axis=0)) / (LIMITS.velocity[:7] / RATE)
    assert 0.9 < steps.max() <= 1  # no faster, and hardly slower
    assert metrics.limit_violations(way, way[0], LIMITS) == 0


def reactions(world: Tabletop, a: str, b: str) -> dict[str, float | None]:
    """The reaction time of each method, with 100 ms for an inference."""
    return {method: play(job("early", a, b, method), world, ExpertSession(world))["reaction_s"] for method in METHODS}


@pytest.mark.slow
def test_each_method_reacts_as_soon_as_it_can(world: Tabletop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tabletop, "frame", lambda self: Frame(self.time_ns, {}, self.state()))
    monkeypatch.setattr(Tabletop, "grace", -150)  # only the moment of the switch matters
    reacted = reactions(world, "slider_left", "put_green")  # the hand is closed when it begins to retreat
    assert reacted["retreat"] == 0 and reacted["ours"] == reacted["flush"]
    assert reacted["ours"] in (0.1, 0.15, 0.2)  # later by as much as an inference was under way
    # the rest of a chunk, and then an inference
    assert reacted["keep"] >= 0.1 + (ExpertSession(world).spec.horizon - 1 - 2) / RATE


# -- whole switches


@pytest.mark.slow
@pytest.mark.parametrize(
    "run, a, b",
    [("early", "put_red", "lamp_on"), ("mid", "slider_left", "put_green"), ("late", "open_drawer", "close_drawer")],
)
def test_an_expert_switches_the_same_way_every_time(
    world: Tabletop, by_experts: None, run: str, a: str, b: str
) -> None:
    record = play(job(run, a, b), world, ExpertSession(world))
    assert not record["skipped"] and record["success"] and record["limit_violations"] == 0
    assert record["tasks"] == [a, b] and record["reaction_s"] == 0
    assert 0 < record["time_to_b_s"] < (TASKS[b].steps + GRACE) / RATE
    play(job("mid", "puck_white", "lamp_off"), world, ExpertSession(world))
    assert play(job(run, a, b), world, ExpertSession(world)) == record


@pytest.mark.slow
def test_a_pair_that_no_layout_allows_is_replaced_or_skipped(world: Tabletop, by_experts: None) -> None:
    never = ("lamp_on", "lamp_off")  # at the start the lamp is either on or off
    spared = play(
        SwitchJob("ours", "early", 1_000_000, (never, ("put_red", "lamp_on")), tuple(TASKS)),
        world,
        ExpertSession(world),
    )
    assert spared["tasks"] == ["put_red", "lamp_on"] and spared["redraws"] >= LAYOUTS
    skipped = play(SwitchJob("ours", "early", 1_000_000, (never,), tuple(TASKS)), world, ExpertSession(world))
    assert skipped["skipped"] and skipped["counterfactual_successes"] == []


@pytest.mark.slow
def test_an_unfinished_task_is_resumed(world: Tabletop, by_experts: None) -> None:
    jobs = [job("mid", "slider_left", "put_green", seed=1_000_000 + i) for i in range(8)]
    unfinished = [r for j in jobs if (r := play(j, world, ExpertSession(world))["resumed"])]
    assert {r["by"] for r in unfinished} >= {"continue", "phrasing"}
    assert all(r["success"] for r in unfinished if r["by"])
    flushed = play(job("mid", "slider_left", "put_green", "flush"), world, ExpertSession(world))["resumed"]
    assert flushed is None or flushed["by"] != "continue"  # only ours knows this word


@pytest.mark.slow
def test_opening_the_hand_in_place_drops_the_object(world: Tabletop, by_experts: None) -> None:
    records = [
        play(job("mid", "put_red", "open_drawer", "retreat", 1_000_000 + i), world, ExpertSession(world))
        for i in range(4)
    ]
    assert not all(r["object_safe"] for r in records)
    assert play(job("mid", "slider_left", "put_green"), world, ExpertSession(world))["object_safe"] is None


@pytest.mark.slow
def test_a_false_switch_changes_the_mode_of_the_policy(world: Tabletop, by_experts: None) -> None:
    calm, upset = (
        play(job("false_switch", "lamp_on", "put_red"), world, ExpertSession(world, mode))
        for mode in ("forward", "rollback")
    )
    assert calm["instructions"][0] != calm["instructions"][1] and set(calm["mode_steps"]) == {"forward"}
    assert calm["counterfactual_success"] and calm["success"] and set(upset["mode_steps"]) == {"rollback"}


@pytest.mark.slow
def test_three_switches_come_within_two_seconds_and_the_first_instruction_comes_again(
    world: Tabletop, by_experts: None
) -> None:
    three = play(job("three_switches", "put_red", "lamp_on"), world, ExpertSession(world))
    assert len(set(three["tasks"])) == len(three["switch_steps"]) + 1 == 4 and three["success"]
    assert 0 < three["switch_steps"][-1] - three["switch_steps"][0] <= 2 * RATE
    back = play(job("switch_back", "slider_left", "lamp_on"), world, ExpertSession(world))
    assert back["tasks"] == ["slider_left", "lamp_on", "slider_left"] and back["success"]
    assert (
        back["instructions"][0] == back["instructions"][2]
        and 0 < back["switch_steps"][1] - back["switch_steps"][0] <= RATE
    )


@pytest.mark.slow
def test_what_is_done_when_it_is_asked_for_again_is_a_success(
    world: Tabletop, by_experts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`keep` goes on with the first task while the second one is asked for, and has finished it by then."""
    monkeypatch.setattr(switch_episode, "draw_switch_steps", lambda *_: (47, 70))
    back = play(job("switch_back", "lamp_on", "put_red", "keep"), world, ExpertSession(world))
    assert not back["skipped"] and back["redraws"] == 0
    assert back["success"] and back["time_to_b_s"] == 1 / RATE and back["tasks"][0] == "lamp_on"
