"""The table of systems: its recordings, what is asked of a policy, its controls, and how a row comes about."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import systems, systems_data, systems_rollout, systems_run
from benchmarks.systems_report import compared, difference, read, table
from benchmarks.systems_rollout import ASKING, Forgetful, every_way, play
from benchmarks.systems_rows import Asked, Training, Variant, rows
from benchmarks.systems_run import Runner, recipe_of
from policy.data.cache import open_cache
from policy.learning import recipe
from policy.learning.model import Policy
from policy.robot.contract import load
from policy.running.session import Session
from sim import worlds
from sim.success_rate import success_rate
from tests.tiny import write_model

CONTRACT = load("tabletop_states")


@pytest.mark.parametrize("name", rows())
def test_system_control_and_reference_are_recipes_on_recordings_that_can_be_made(name: str) -> None:
    row = rows()[name]
    for part in row.variants.values():
        spec = load(systems_data.world_of(part.training.data)).spec
        Policy.describe(recipe.parse(recipe_of(part.training, 1)), spec)
        assert part.asked.how in ASKING
    assert systems.recordings(row) <= {*systems_data.EPISODES, *systems_data.MADE}
    assert row.system != row.control, "the control lacks something"
    assert row.system.asked.tasks == row.control.asked.tasks == row.reference.asked.tasks
    assert row.recipe in recipe.names() and row.recipe == f"systems/{name}"


def test_every_recipe_of_a_system_has_a_page_and_a_row() -> None:
    pages = Path(__file__).parent.parent / "docs" / "systems"
    names = {name.removeprefix("systems/") for name in recipe.names() if name.startswith("systems/")}
    assert {page.stem for page in pages.glob("*.md")} - {"index"} == names
    assert names - set(rows()) == {"switchvla"}, "which sim.evaluate --switch measures"


def bags(kind: str, numbers: tuple[int, ...], folder: Path) -> Path:
    for number in numbers:
        systems_data.write(systems_data.Job(kind, number, folder / f"{kind}_{number}"))
    return folder


@pytest.mark.slow
def test_half_of_the_mixed_recordings_stop_on_the_way_and_say_that_they_failed(tmp_path: Path) -> None:
    cache = open_cache(bags("mixed", (1, 5), tmp_path), CONTRACT, processes=1, failures=True)
    assert cache.returns.tolist() == [1.0, 0.0] and cache.tasks == ["slider_right", "slider_right"]
    for episode, stands in ((0, False), (1, True)):
        actions = cache.actions[cache.bounds[episode] : cache.bounds[episode + 1]]
        assert (np.abs(np.diff(actions[-30:], axis=0)).max() == 0) == stands


@pytest.mark.slow
@pytest.mark.parametrize("number", [6, 12])
def test_what_is_marked_as_a_failure_is_one(number: int, tmp_path: Path) -> None:
    bags("mixed", (number,), tmp_path)
    world, task = systems_data._world(), systems_data.TASKS[number % 4]
    assert not world.tasks[task].success(world)


def test_a_gated_system_and_its_control_have_the_same_depth() -> None:
    for name in ("gtrxl", "recurrent_linear_transformer"):
        row = rows()[name]
        system, control = (recipe.parse(recipe_of(v.training, 1)).memory for v in (row.system, row.control))
        assert system is not None and control is not None
        assert system.settings.layers == control.settings.layers


@pytest.mark.slow
def test_play_is_several_tasks_under_one_word(tmp_path: Path) -> None:
    cache = open_cache(bags("play", (0,), tmp_path), CONTRACT, processes=1)
    assert cache.instructions == ["play"]
    moved = [CONTRACT.spec.state.index(name) for name in ("slider_y", "handle_x")]
    assert (np.ptp(cache.state[:, moved], axis=0) > 0.05).all()


def test_some_of_what_is_recorded_as_commanded_is_wrong(tmp_path: Path) -> None:
    cache = open_cache(bags("noisy", (1,), tmp_path), CONTRACT, processes=1)
    away = np.abs(cache.actions[:, :7] - cache.state[:, :7]).max(1)
    assert 0.1 < (away > 0.15).mean() < 0.6


def test_an_episode_is_asked_for_and_judged_and_its_goal_is_where_the_expert_ends(tmp_path: Path) -> None:
    write_model(tmp_path / "model")  # which the world of pictures plays
    record = play(worlds.load("tabletop")(), Session(tmp_path / "model", threads=1), Asked(), 7, "slider_left")
    assert record["task"] == "slider_left" and record["success"] is False and record["steps"] is None
    world = worlds.load("tabletop_states")()
    task, rng = world.tasks["slider_left"], np.random.default_rng(0)
    systems_rollout.start(world, task, 7, "home")
    before, slider = world.state(), CONTRACT.spec.state.index("slider_y")
    text, conditions = ASKING["goal"](world, task, Asked(), 7, rng)
    assert text == "" and conditions.goal_state is not None
    np.testing.assert_array_equal(world.state(), before)
    assert conditions.goal_state[slider] - before[slider] > 0.02


def test_tries_from_one_layout_count_where_the_task_is_done_in_more_than_one_way() -> None:
    def tried(*found: tuple[bool, str]) -> list[dict]:
        return [{"task": "round_block", "seed": 3, "success": done, "outcome": way} for done, way in found]

    assert every_way(tried((True, "left"), (False, "left"), (True, "right")))["success"]
    assert not every_way(tried((True, "left"), (True, "left"), (False, "right")))["success"]


def test_a_forgetful_session_finds_its_state_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    monkeypatch.setattr(Session, "run", lambda self, feed: seen.update(feed) or {})
    forgetful = Forgetful.__new__(Forgetful)
    forgetful.run({"state": np.ones(3), "state_keys": np.ones(3), "instruction": np.ones(2)})
    assert {name: float(value.sum()) for name, value in seen.items()} == {"state": 3, "state_keys": 0, "instruction": 2}


def reports(system: int, control: int, reference: int) -> list[dict]:
    figures = {"parity": 1e-6, "step_ms": 1.0, "cores": 2, "state": {}, "parameters": 10, "minutes": 1.0}
    figures |= {"samples": 5000, "recordings": ["tasks"]}
    parts = {"system": system, "control": control, "reference": reference}
    return [
        {name: {"figures": figures, "episodes": [{"success": i < n} for i in range(100)]} for name, n in parts.items()}
    ]


def test_a_row_works_where_the_intervals_of_system_and_control_do_not_meet(tmp_path: Path) -> None:
    row = rows()["rt1"]
    assert (
        compared(row, reports(60, 30, 50))["works"]["passed"]
        and not compared(row, reports(45, 40, 0))["works"]["passed"]
    )
    helps = compared(row, reports(60, 30, 50))["helps"]
    assert helps["difference"] == pytest.approx(0.1) and helps["low"] < 0 < helps["high"]
    made = {
        "system": "rt1",
        "recipe": row.recipe,
        "date": "2026-11-26",
        "machine": "cpu",
        **compared(row, reports(9, 9, 9)),
    }
    path = tmp_path / "systems.json"
    systems.append(made, path)
    systems.append(made, path)
    assert len(read(path)) == 1 and "**no**" in path.with_suffix(".md").read_text()
    assert path.with_suffix(".svg").exists() and table([]).startswith("# Systems")


def test_the_page_is_the_one_that_the_results_make() -> None:
    page = systems.RESULTS / "systems.md"
    assert page.read_text() == table(read(page.with_suffix(".json")))


@pytest.mark.parametrize(
    ("name", "system", "reference"),
    [
        ("dynamo", ["pictures_tasks", "pictures_held_out"], ["pictures_held_out"]),
        ("bc_by_search", ["tasks", "held_out as its index"], ["held_out"]),
        ("decision_transformer", ["mixed"], ["mixed, successes alone"]),
    ],
)
def test_a_row_says_what_its_policies_learnt_from_and_from_how_much(
    name: str, system: list[str], reference: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In all trainings: one may go before another."""
    row, runner = rows()[name], Runner(tmp_path, tmp_path, samples=400_000, episodes=1)
    monkeypatch.setattr(Runner, "trained", lambda *_: tmp_path)
    monkeypatch.setattr(systems_run, "_latest", lambda run: run)
    monkeypatch.setattr(systems_run.checkpoint, "read_state", lambda _: {"samples": 400_000, "seconds": 60.0})
    (report,) = reports(60, 30, 50)
    report |= {other: report["system"] for other in row.others}
    for other, variant in row.variants.items():
        report[other] = report[other] | {"figures": report[other]["figures"] | runner._spent(variant, 0)}
    trained = compared(row, [report])["trained"]
    assert (trained["system"]["recordings"], trained["reference"]["recordings"]) == (system, reference)
    assert trained["system"]["samples"] == (800_000 if name == "dynamo" else 400_000)
    assert trained["system"]["minutes"] == (2 if name == "dynamo" else 1) and trained["reference"]["minutes"] == 1
    made = {"system": name, "recipe": "", "date": "", "machine": "", **compared(row, [report])}
    assert all(", then ".join(learnt) in table([made]) for learnt in (system, reference))


def test_an_inference_is_timed_on_the_cores_of_the_command_that_pinned_its_process_to_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cores = {0: {3}, os.getppid(): {1, 2, 3}}
    monkeypatch.setattr(systems_run.os, "sched_getaffinity", cores.__getitem__)
    monkeypatch.setattr(systems_run.os, "sched_setaffinity", cores.__setitem__)
    with systems_run._every_core() as many:
        assert cores[0] == {1, 2, 3} and many == 3
    assert cores[0] == {3}


def test_the_difference_of_two_rates_has_newcombes_interval() -> None:
    a, b = (success_rate({"success": i < n} for i in range(of)) for n, of in ((56, 70), (48, 80)))
    made = difference(a, b)  # Newcombe 1998, table II (a), method 10
    assert [round(made[key], 4) for key in ("difference", "low", "high")] == [0.2, 0.0524, 0.3339]


def test_figures_are_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner, variant = Runner(tmp_path, tmp_path, samples=1, episodes=1), rows()["rt1"].system
    monkeypatch.setattr(Runner, "trained", lambda *_: tmp_path / "runs" / "it" / "run")
    monkeypatch.setattr(Runner, "_export", lambda *_: {"parity": 0.0})
    monkeypatch.setattr(Runner, "_spent", lambda *_: {})
    monkeypatch.setattr(systems_run, "evaluate", lambda *_: [{"success": True}])
    write = Path.write_text

    def killed(path: Path, text: str) -> int:
        write(path, text[: len(text) // 2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        for name in ("episodes", "figures"):
            patch.setattr(
                Path, "write_text", lambda path, text, n=name: (killed if n in path.name else write)(path, text)
            )
            with pytest.raises(KeyboardInterrupt):
                runner.measured(variant, 0)
    measured = runner.measured(variant, 0)
    assert measured["figures"]["parity"] == 0.0 and measured["episodes"] == [{"success": True}]


@pytest.mark.heavy
def test_a_variant_is_trained_exported_and_evaluated_once_and_a_changed_export_trains_nothing(tmp_path: Path) -> None:
    folder = bags("play", (0, 1), tmp_path / "data" / "play")
    runner = Runner(tmp_path / "data", tmp_path / "out", samples=512, episodes=1)
    change = {"width": 16, "head": {"name": "diffusion", "hidden": 8, "layers": 1, "steps": 1, "guidance": 2.0}}
    asked = Asked(("slider_left",), how="goal")
    variant = Variant(Training("systems/beso", "play", change), asked)
    first = runner.measured(variant, 0)
    assert folder.exists() and first["figures"]["samples"] == 512 and first["figures"]["parity"] < 1e-4
    assert len(first["episodes"]) == 1
    unguided = runner.measured(replace(variant, exported={"head": {"guidance": 0.0}}), 0)
    assert len(list((tmp_path / "out" / "runs").iterdir())) == 1
    states = [json.loads(p.read_text()) for p in (tmp_path / "out").rglob("state.json")]
    assert sorted(state["recipe"]["head"]["guidance"] for state in states) == [0.0, 2.0]
    assert unguided["figures"]["parity"] < 1e-4 and runner.measured(variant, 0) == first
