"""Frozen sentences: none is trained on, their scenes allow both readings, and the figures count what they say."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from policy.errors import InputError
from policy.learning.phrasings import reworded
from policy.running.text import Sentence
from policy.spec import Frame
from sim.demonstration import demonstrate
from sim.initial_states import start
from sim.words_evaluation import RUNS, WordsJob, plan, play
from sim.words_report import summarise
from sim.worlds.tabletop.sentences import SENTENCES
from sim.worlds.tabletop.tasks import TASKS
from sim.worlds.tabletop.world import Tabletop
from tests.scripted import ExpertSession
from tests.tiny import write_model

ROOT = Path(__file__).parent.parent
OPPOSITES = [name for name, task in TASKS.items() if task.opposite]


@pytest.fixture(scope="module")
def world() -> Tabletop:
    return Tabletop()


@pytest.fixture
def without_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tabletop, "frame", lambda self: Frame(self.time_ns, {}, self.state()))


class UnderstandingSession(ExpertSession):
    """An expert that understands a sentence as a task; others it refuses."""

    def __init__(self, world: Tabletop, sentences: dict[str, str] | None = None) -> None:
        super().__init__(world)
        self.meaning = sentences or {}

    def embed(self, text: str) -> Sentence:
        if text not in self.meaning:
            raise InputError("unknown instruction")
        return super().embed(TASKS[self.meaning[text]].phrasings[0])


# -- what is frozen


def test_no_frozen_sentence_is_trained_on() -> None:
    trained = {phrasing for task in Tabletop.every_task().values() for phrasing in task.phrasings}
    held_out = [text for task in TASKS.values() for text in (*task.reworded, *task.new_words)]
    every = [*SENTENCES.all(), *held_out]
    taught = [(name, phrasing) for name, task in Tabletop.every_task().items() for phrasing in task.phrasings]
    made = {sentence for sentences in reworded(taught, len(taught) ** 2).values() for sentence in sentences}
    assert len(made) > 5 * len(trained) and not (trained | made) & set(every)
    assert len(every) == len(set(every)), "a sentence is in two sets"


def test_the_sets_have_their_sizes_and_name_tasks_that_there_are() -> None:
    assert len(SENTENCES.negated) == 40 and len(SENTENCES.near_misses) == 60 and len(SENTENCES.pairs) == 20
    assert set(SENTENCES.order) <= set(OPPOSITES) and all(TASKS[t].opposite in SENTENCES.order for t in SENTENCES.order)
    assert all(len(texts) >= 5 for texts in SENTENCES.order.values())
    assert set(SENTENCES.negated.values()) == set(TASKS)
    assert {name for pair in SENTENCES.pairs.values() for name in pair} <= set(TASKS)
    assert all(a != b for a, b in SENTENCES.pairs.values())


def test_they_are_frozen() -> None:
    """Figures over time compare only while the sentences stay: a change of this hash is a change of every figure."""
    held_out = [(name, task.reworded, task.new_words) for name, task in TASKS.items()]
    content = json.dumps([dict(SENTENCES.order), SENTENCES.negated, SENTENCES.near_misses, SENTENCES.pairs, held_out])
    assert hashlib.sha256(content.encode()).hexdigest()[:16] == "8fc81558a85d3b3f"


# -- scenes in which both readings are possible


@pytest.mark.parametrize("name", OPPOSITES)
def test_opposites_are_opposite_and_can_both_be_asked_for(name: str, world: Tabletop) -> None:
    task = TASKS[name]
    other = TASKS[task.opposite]
    assert other.opposite == name and other.kind == task.kind
    layouts = []
    for seed in (1_500_000, 1_500_001):
        start(world, task, seed, "undecided")
        assert not other.success(world) and (task.kind == "lamp") == task.success(world)
        layouts.append(world.layout())
    assert not np.array_equal(*layouts)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPPOSITES)
def test_experts_do_either_from_there(name: str, world: Tabletop) -> None:
    task = TASKS[name]
    for asked in (task, TASKS[task.opposite]):
        start(world, task, 1_500_000, "undecided")
        assert any(demonstrate(world, asked)), f"{asked.name} where {name} could be asked for as well"


# -- what is counted


def job(run: str, *tasks: str, sentence: str = "x") -> WordsJob:
    return WordsJob(run, tasks, sentence, 1_500_000)


@pytest.mark.parametrize("meant", ["slider_left", "slider_right", "lamp_on", "lamp_off"])
def test_doing_the_opposite_is_not_obeying(meant: str, world: Tabletop, without_images: None) -> None:
    asked = "slider_left" if meant.startswith("slider") else "lamp_on"
    record = play(job("order", asked), world, UnderstandingSession(world, sentences={"x": meant}))
    figures = summarise({"runs": ["order"]} | dict.fromkeys(("policy", "world", "sha256", "seed")), [record])["order"]
    assert figures["done"]["rate"] == (meant == asked) and figures["opposite_done"]["rate"] == (meant != asked)


def test_a_lamp_that_is_as_it_is_asked_for_is_no_success_of_a_refusal(world: Tabletop, without_images: None) -> None:
    record = play(job("order", "lamp_on"), world, UnderstandingSession(world))
    figures = summarise({"runs": ["order"]} | dict.fromkeys(("policy", "world", "sha256", "seed")), [record])["order"]
    assert "lamp_on" in record["done"] and figures["refused"]["rate"] == 1 and figures["done"]["rate"] == 0


def test_a_negated_sentence_is_obeyed_where_what_it_forbids_is_done(world: Tabletop, without_images: None) -> None:
    obeying = play(job("negated", "put_red"), world, UnderstandingSession(world, sentences={"x": "put_red"}))
    refusing = play(job("negated", "put_red"), world, UnderstandingSession(world))
    assert obeying["done"] == ["put_red"] and not obeying["refused"]
    assert not refusing["done"] and refusing["refused"] == "unknown instruction"


def test_a_task_under_way_is_stopped_or_finished_all_the_same(world: Tabletop, without_images: None) -> None:
    begun = TASKS["put_red"].phrasings
    meaning = dict.fromkeys(begun, "put_red")
    finishing = play(
        job("under_way", "put_red"), world, UnderstandingSession(world, sentences=meaning | {"x": "put_red"})
    )
    assert finishing["done"] == ["put_red"]
    stopping = play(job("under_way", "put_red"), world, UnderstandingSession(world, sentences=meaning))
    assert stopping["refused"] and not stopping["done"] and world.contact, "it was begun"


def test_what_is_done_when_a_refusal_stops_the_arm_counts_where_it_holds(
    world: Tabletop, without_images: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lamp that goes on with the last set-point before the arm rests stays on."""
    monkeypatch.setattr(type(TASKS["lamp_on"]), "success", lambda _, world: world.time_ns > 0)
    record = play(job("negated", "lamp_on"), world, UnderstandingSession(world))
    assert record["refused"] and record["done"] == ["lamp_on"]


def test_a_task_of_a_touch_is_under_way_before_it_is_done(world: Tabletop, without_images: None) -> None:
    """The button has switched the lamp by the time that its touch is seen."""
    begun = dict.fromkeys(TASKS["lamp_on"].phrasings, "lamp_on")
    stopping = play(job("under_way", "lamp_on"), world, UnderstandingSession(world, sentences=begun))
    assert stopping["refused"] and not stopping["done"] and not stopping["already"] and not world.lamp
    finishing = play(
        job("under_way", "lamp_on"), world, UnderstandingSession(world, sentences=begun | {"x": "lamp_on"})
    )
    assert finishing["done"] == ["lamp_on"]


def test_a_near_miss_is_followed_where_any_task_is_done(world: Tabletop, without_images: None) -> None:
    followed = play(job("near_misses"), world, UnderstandingSession(world, sentences={"x": "put_green"}))
    refused = play(job("near_misses"), world, UnderstandingSession(world))
    assert followed["done"] == ["put_green"] and refused["done"] == [] and refused["refused"]


def test_of_two_tasks_one_may_be_done(world: Tabletop, without_images: None) -> None:
    record = play(
        job("pairs", "put_red", "slider_left"), world, UnderstandingSession(world, sentences={"x": "put_red"})
    )
    assert record["done"] == ["put_red"] and not record["reported_done"]


def record(run: str, tasks: list[str], done: list[str], **other: object) -> dict[str, object]:
    return {
        "run": run,
        "tasks": tasks,
        "sentence": "s",
        "seed": 1,
        "already": [],
        "done": done,
        "done_at_the_end": done,
        "refused": "",
        "reported_done": True,
    } | other


def test_half_done_and_reported_done_is_counted_and_what_is_refused_is_not() -> None:
    settings = {"runs": list(RUNS)} | dict.fromkeys(("policy", "world", "sha256", "seed"))
    made = summarise(
        settings,
        [
            record("pairs", ["a", "b"], ["a"]),
            record("pairs", ["a", "b"], ["a"], reported_done=False),
            record("pairs", ["a", "b"], ["a", "b"]),
            record("pairs", ["a", "b"], [], refused="no"),
            record("negated", ["a"], ["a"]),
            record("negated", ["a"], []),
            record("near_misses", [], []),
            record("order", ["a"], ["a"], done_at_the_end=[]),
        ],
    )
    assert made["pairs"]["half_done_and_reported_done"]["successes"] == 1 and made["pairs"]["refused"]["successes"] == 1
    assert made["pairs"]["both_done"]["successes"] == 1 and made["negated"]["obeyed"]["rate"] == 0.5
    assert made["near_misses"]["followed"]["rate"] == 0
    assert made["order"]["done"]["rate"] == 0, "the lamp was as asked, and is not any more"


def test_a_plan_has_every_sentence_and_a_seed_for_each_job() -> None:
    jobs = plan(RUNS, SENTENCES, 12, 1_000_000)
    assert len({j.seed for j in jobs}) == len(jobs) == 12 * len(SENTENCES.order) + 40 + 40 + 60 + 20
    assert {j.sentence for j in jobs} == set(SENTENCES.all())


@pytest.mark.heavy
def test_the_command_writes_a_report_and_a_page(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    command = [sys.executable, "-m", "sim.evaluate", str(tmp_path / "model"), "--words"]
    out = ["--processes", "1", "--films", "0", "--out", str(tmp_path / "out")]
    done = subprocess.run([*command, "pairs", *out], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["pairs"]["both_done"]["episodes"] == 20 and "{{" not in (tmp_path / "out/index.html").read_text()
    wrong = subprocess.run([*command, "ordr"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert wrong.returncode == 2 and "did you mean 'order'" in wrong.stderr
