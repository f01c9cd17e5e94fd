"""Of a world's tasks a policy is asked for those that it was taught, from starts and in words that there are."""

import shutil
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from policy.errors import InputError
from policy.running.session import Session
from policy.spec import Frame
from sim import correct, demo, evaluate, shift_evaluation, teach
from sim.evaluation_jobs import EpisodeJob, play, start_of, succeeded
from sim.evaluation_page.row import Row
from sim.initial_states import start
from sim.plain_report import KIND, summarise
from sim.switch_evaluation import evaluate_switches, metrics
from sim.switch_evaluation.methods import ours
from sim.switch_evaluation.recorded_episode import RecordedEpisode
from sim.switch_evaluation.scenario import draw_scenario
from sim.taught_tasks import asked, not_taught, sentences, taught
from sim.words_report import KIND as WORDS
from sim.worlds import load
from sim.worlds.tabletop.tasks import TASKS
from sim.worlds.tabletop.world import Tabletop
from tests.scripted import ExpertSession
from tests.tiny import teach as write_taught
from tests.tiny import write_model

ROOT = Path(__file__).parent.parent


def test_a_policy_is_not_asked_for_a_task_that_is_younger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model(tmp_path / "model", switches=True)
    older = [name for name in TASKS if name != "stack_blue_on_red"]
    write_taught(tmp_path / "model", [(name, TASKS[name].phrasings[0]) for name in older])
    session = Session(tmp_path / "model", 1, "cpu")
    assert taught(TASKS, session) == older == asked(TASKS, session)
    assert capsys.readouterr().err == "left out, as the policy was not taught it: stack_blue_on_red\n"


@pytest.mark.parametrize("switches", [False, True])
def test_one_that_does_not_know_or_has_other_names_is_asked_for_all(tmp_path: Path, switches: bool) -> None:
    write_model(tmp_path / "model", switches=switches)
    assert taught(TASKS, Session(tmp_path / "model", 1, "cpu")) == list(TASKS)


def test_one_that_was_taught_little_is_asked_for_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its chain ends there, which is no failure, and its control is left out."""
    monkeypatch.setattr(Tabletop, "frame", lambda self: Frame(self.time_ns, {}, self.state()))
    world = Tabletop()
    session = ExpertSession(world)
    session.tasks = ("lamp_on",)
    chain = play(EpisodeJob("chain", "", 1_000_001, "home"), world, session)
    assert [part["task"] for part in chain["subtasks"]] == ["lamp_on"] and chain["out_of_tasks"] and succeeded(chain)
    control = play(EpisodeJob("shuffled", "lamp_on", 1_000_001, "home"), world, session)
    assert control["skipped"] and KIND.row(control) is None


def test_to_change_the_instruction_needs_two_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "model", switches=True)
    write_taught(tmp_path / "model", [("lamp_on", "turn on the lamp")])
    command = ["evaluate", str(tmp_path / "model"), "--switch", "mid", "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(InputError, match="was taught lamp_on alone"):
        evaluate.main()


def test_sentences_of_other_tasks_are_not_asked() -> None:
    settings = {"world": "tabletop", "runs": ["order", "negated", "near_misses"], "episodes": 2, "seed": 1_000_000}
    few = WORDS.jobs(settings | {"tasks": ["open_drawer", "close_drawer"]})
    assert {task for job in few for task in job.tasks} == {"open_drawer", "close_drawer"}
    assert sum(job.run == "near_misses" for job in few) == 60
    every = WORDS.jobs(settings | {"tasks": list(TASKS)})
    assert set(few) < set(every), "with the seeds that they have among all"


def test_a_task_with_no_other_beside_it_begins_at_home() -> None:
    alone = load("two_arms")
    (task,) = alone.tasks
    assert {job.start for job in shift_evaluation.plan(alone, ["noise"], [task], 6, 1_000_000)} == {"home"}
    assert [start_of("lamp_on", Tabletop, i) for i in range(3)] == ["home", "home", "other"]
    assert start_of("put_back", Tabletop, 2) == "home"
    with pytest.raises(InputError, match=r"unknown start of lift_bar in two_arms 'other'. Valid: home"):
        start(alone(), alone.tasks[task], 0, "other")


@pytest.mark.parametrize("name", ["tabletop", "tabletop_states", "tabletop_ee"])
def test_the_limits_are_those_of_the_actions_whatever_the_state_holds(name: str) -> None:
    world = load(name)()
    start(world, world.tasks["lamp_on"], 0, "home")
    episode = RecordedEpisode(world, ExpertSession(world), "turn on the lamp", ours, 0)
    limits = episode.robot.session.contract.limits
    assert metrics.limit_violations(np.tile(world.setpoint(), (3, 1)), episode.begun_at, limits) == 0


def test_what_is_not_asked_has_no_rate() -> None:
    record = {"run": "shuffled", "task": "lamp_on", "success": True, "start": "home", "steps": 1, "interventions": {}}
    settings = {"policy": "", "sha256": "", "seed": 0, "tasks": ["lamp_on", "round_block"]}
    assert summarise(settings, [record | {"run": "main"}, record])["control"]["shuffled_instruction"]["mean"] == 1


def test_episodes_of_another_layout_did_not_begin_alike() -> None:
    first, again = (Row(7, "a → b", "mid", True, None, "", layout=layout) for layout in (7, 1_000_007))
    assert first.key != again.key


@pytest.mark.parametrize(
    "module, arguments",
    [
        (evaluate, ["--episodes", "1"]),
        (correct, ["--tasks", "lamp_on"]),
        (demo, ["--seed", "1000000"]),
        (teach, []),
    ],
)
def test_a_policy_of_another_robot_is_refused_before_anything_is_written(
    module: ModuleType, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = shutil.copytree(ROOT / "models" / "libero_goal", tmp_path / "libero_goal")
    before = (model / "instructions.safetensors").read_bytes()
    given = ["--model", str(model)] if module is demo else [str(model)]
    out = [] if module is teach else ["--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["command", *given, *arguments, *out])
    with pytest.raises(InputError, match=r"libero_goal is a policy for another robot than that of the world tabletop"):
        module.main()
    assert not (tmp_path / "out").exists() and (model / "instructions.safetensors").read_bytes() == before


def test_what_is_asked_for_after_another_task_is_not_corrected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["correct", "tabletop", "--tasks", "memory", "--out", str(tmp_path / "out")])
    with pytest.raises(InputError, match=r"put_back.*after another task"):
        correct.main()
    assert not (tmp_path / "out").exists()


def test_a_policy_is_asked_in_the_sentences_that_it_was_taught() -> None:
    """The table has more sentences by now than the shipped policy knows; one that knows none is asked in all."""
    shipped, task = Session("tabletop", 1, "cpu"), TASKS["lamp_on"]
    known = sentences(task, shipped)
    assert set(known) == {text for name, text in shipped.taught if name == "lamp_on"} & set(task.phrasings)
    unknowing = SimpleNamespace(taught=[("light", "a sentence of another")])
    assert sentences(task, unknowing) == task.phrasings  # type: ignore[arg-type]


@pytest.mark.parametrize("run", ["mid", "false_switch", "switch_back"])
def test_a_switch_is_asked_for_in_the_sentences_that_both_policies_were_taught(run: str) -> None:
    """Whatever was taught, and whatever else is drawn, stays the same."""
    world, pair, shipped = load("tabletop_states")(), ("put_red", "lamp_on"), Session("tabletop", 1, "cpu")
    asked_for = [TASKS[name] for name in pair]
    other = SimpleNamespace(taught=[("", text) for task in asked_for for text in task.phrasings[3:]])
    left_out = not_taught(asked_for, [shipped, other])  # type: ignore[list-item]
    known = {text for task in asked_for for text in sentences(task, shipped)} - {t.phrasings[0] for t in asked_for}
    changed = 0
    for seed in range(1_000_000, 1_000_030):
        before = draw_scenario(run, pair, seed, world, list(TASKS))
        now = draw_scenario(run, pair, seed, world, list(TASKS), left_out)
        assert (before is None) == (now is None)
        if before is None or now is None:
            continue
        assert set(now.instructions) <= known | set(TASKS["put_red"].reworded)
        assert now.rng.bit_generator.state == before.rng.bit_generator.state or run == "false_switch"
        if not left_out & set(before.instructions):
            assert now.instructions == before.instructions
        changed += now.instructions != before.instructions
        if run == "mid":
            kept = [a == b for a, b in zip(now.instructions, before.instructions, strict=True)]
            assert kept == [text not in left_out for text in before.instructions]
    assert changed > 5


def test_workers_leave_out_what_the_policies_of_a_switch_were_not_taught() -> None:
    settings = {"world": "tabletop_states", "policy": "tabletop", "baseline": None, "tasks": ["lamp_on"]}
    for noted, kept in (
        ({"sentences": "taught"}, len(sentences(TASKS["lamp_on"], Session("tabletop", 1, "cpu")))),
        ({}, 0),
    ):
        prepare, arguments = evaluate_switches.KIND.prepare(settings | noted, 1)
        prepare(*arguments)
        left = len(evaluate_switches._left_out)
        assert left == (len(TASKS["lamp_on"].phrasings) - kept if kept else 0)


def test_policies_without_a_common_sentence_are_not_compared() -> None:
    task = TASKS["lamp_on"]
    policies = [SimpleNamespace(taught=[("lamp_on", text)]) for text in task.phrasings[:2]]
    with pytest.raises(InputError, match="no sentence of lamp_on was taught to both"):
        not_taught([task], policies)  # type: ignore[arg-type]
