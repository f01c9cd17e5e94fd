"""The metrics of switches, their report, and the command from end to end."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from policy.errors import InputError
from policy.robot.contract import load
from policy.running.session import Session
from sim import evaluate
from sim.switch_evaluation import metrics, refusals
from sim.switch_evaluation.methods import BASELINES
from sim.switch_evaluation.object_safety import object_safe
from sim.switch_evaluation.paired import exact_p, paired
from sim.switch_evaluation.switch_films import BEFORE
from sim.switch_evaluation.switch_jobs import OTHER_RUNS
from sim.switch_evaluation.switch_page import markdown, view
from sim.switch_evaluation.switch_report import summarise
from sim.worlds.interface import RATE
from sim.worlds.tabletop.layout import HOME
from sim.worlds.tabletop.table import OPEN
from sim.worlds.tabletop.tasks import TASKS
from sim.worlds.tabletop.world import Tabletop
from tests.tiny import write_model

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
PAIRS = len(TASKS) * (len(TASKS) - 1)
LIMITS = load("tabletop").limits


# -- the metrics


def test_a_reaction_is_the_first_set_point_that_serves_the_instruction_and_differs() -> None:
    undisturbed = np.zeros((20, 8))
    sent, serves = undisturbed.copy(), np.zeros(20, bool)
    sent[10:] = 0.01  # an old inference was discarded
    serves[12:] = True
    assert metrics.reaction_time(sent, serves, undisturbed, 9) == pytest.approx(3 / RATE)
    sent[10:14] = 0  # the new chunk is the same at first
    assert metrics.reaction_time(sent, serves, undisturbed, 9) == pytest.approx(5 / RATE)
    assert metrics.reaction_time(undisturbed, serves, undisturbed, 9) is None


def test_the_jerk_ratio_is_one_for_the_same_motion_and_more_for_a_leap() -> None:
    undisturbed = np.zeros((60, 8))
    undisturbed[:, 0] = 0.1 * np.sin(np.linspace(0, 20, 60))
    at_once = np.ones(60, bool)
    assert metrics.jerk_ratio(undisturbed, undisturbed, 20, at_once) == pytest.approx(1, abs=0.15)
    leap = undisturbed.copy()
    leap[25:, 0] += 0.5
    assert metrics.jerk_ratio(leap, undisturbed, 20, at_once) > 10
    too_early = 10
    assert metrics.jerk_ratio(leap, undisturbed, too_early, at_once) == pytest.approx(1, abs=0.15)
    late = np.arange(60) >= 23  # a method that goes on with the old chunk, or drives home first
    assert metrics.jerk_ratio(leap, undisturbed, too_early, late) > 10


def test_limit_violations_are_counted() -> None:
    began = np.append(HOME, OPEN)
    step = LIMITS.velocity / RATE
    still = np.repeat(began[None], 5, 0)
    assert metrics.limit_violations(still, began, LIMITS) == 0
    at_the_limit = began + np.arange(1, 4)[:, None] * np.append(step[:7], 0)
    assert metrics.limit_violations(at_the_limit.astype(np.float32), began, LIMITS) == 0
    too_fast = still.copy()
    too_fast[2:, 3] += 1.1 * step[3]
    assert metrics.limit_violations(too_fast, began, LIMITS) == 1
    assert metrics.limit_violations(too_fast[2:], began, LIMITS) == 1  # the first one is compared with the state
    too_far = still.copy()
    too_far[:, 7] = 0.0801
    assert metrics.limit_violations(too_far, began, LIMITS) == 5


def positions(*heights: float) -> np.ndarray:
    return np.array([[0.45, 0.0, z] for z in heights])


@pytest.mark.parametrize(
    "heights, touched, at_goal, safe",
    [
        ((0.20, 0.20, 0.12, 0.02, 0.02), "11000", "00000", False),  # released in the air
        ((0.20, 0.08, 0.04, 0.02, 0.02), "11100", "00000", True),  # put down to within 3 cm
        ((0.20, 0.08, 0.06, 0.02, 0.02), "11100", "00000", False),  # not quite
        ((0.10, 0.10, 0.10, 0.10, 0.10), "11111", "00000", True),  # held all along
        ((0.10, 0.10, 0.10, 0.02, 0.02), "10100", "00000", False),  # slips for a moment, then falls
        ((0.07, 0.07, 0.05, 0.026, 0.026), "11000", "00011", True),  # dropped into the bowl, its goal
        ((0.02, 0.02, -0.03, -0.3, -0.68), "00000", "00000", False),  # knocked off the table
    ],
)
def test_an_object_is_safe_unless_it_is_dropped_or_leaves_the_table(
    heights: tuple[float, ...], touched: str, at_goal: str, safe: bool
) -> None:
    marks = (np.array([mark == "1" for mark in row]) for row in (touched, at_goal))
    assert object_safe(positions(*heights), *marks, Tabletop.bounds) is safe


def test_an_object_beyond_the_edge_is_not_safe_before_it_falls() -> None:
    track = positions(0.02, 0.02)
    track[1, 1] = 0.63
    assert not object_safe(track, np.zeros(2, bool), np.zeros(2, bool), Tabletop.bounds)


# -- the report


def test_unknown_sentences_are_new_and_refused_by_a_switching_policy(tmp_path: Path) -> None:
    known = {text for task in TASKS.values() for text in (*task.phrasings, *task.reworded, *task.new_words)}
    assert len(set(refusals.UNKNOWN) - known) == 20
    write_model(tmp_path / "switching", switches=True)
    write_model(tmp_path / "plain")
    rates = refusals.refusal_rates(Session(tmp_path / "switching", 1, "cpu"), TASKS)
    assert rates["unknown_refused"]["successes"] == 20 - len(rates["unknown_refused"]["accepted"]) >= 19
    assert "could you pull open the drawer" not in rates["reworded_refused"]["refused"]  # it knows the drawer
    assert "lamp on please" in rates["reworded_refused"]["refused"]
    plain = refusals.refusal_rates(Session(tmp_path / "plain", 1, "cpu"), TASKS)
    assert plain["unknown_refused"]["rate"] == plain["reworded_refused"]["rate"] == 0


def record(run: str = "mid", **other: Any) -> dict[str, Any]:
    return {
        "method": "ours",
        "run": run,
        "seed": 1,
        "skipped": False,
        "redraws": 0,
        "counterfactual_successes": [True],
        "layout_seed": 1,
        "tasks": ["put_red", "lamp_on"],
        "instructions": ["a", "b"],
        "switch_steps": [9],
        "success": True,
        "counterfactual_success": True,
        "time_to_b_s": 2.0,
        "reaction_s": 0.1,
        "jerk_ratio": 1.0,
        "mode_steps": {},
        "refused": "",
        "interventions": {"x": 2},
        "object_safe": None,
        "resumed": None,
        "steps": 50,
        "limit_violations": 0,
    } | other


REFUSED = {
    "unknown_refused": {"episodes": 20, "successes": 19, "rate": 0.95, "low": 0.8, "high": 1.0},
    "reworded_refused": {"episodes": 48, "successes": 0, "rate": 0.0, "low": 0.0, "high": 0.1},
}
SETTINGS = {"policy": "p", "sha256": "s", "baseline": "q", "seed": 1, "phases": ["early", "mid"]}


def report() -> dict[str, Any]:
    failed: dict[str, Any] = {"success": False, "time_to_b_s": None}
    records = [
        record("early"),
        record("early", **failed, tasks=["lamp_on", "put_red"], counterfactual_successes=[False, True], redraws=1),
        record(object_safe=True, resumed={"by": "continue", "success": True}),
        record(object_safe=False, resumed={"by": "phrasing", "success": False}, time_to_b_s=4.0, jerk_ratio=3.0),
        record(**failed, reaction_s=0.2, limit_violations=1),
        {"method": "ours", "run": "mid", "seed": 5, "skipped": True, "redraws": 48, "counterfactual_successes": []},
        record("false_switch", mode_steps={"forward": 9}),
        record("false_switch", mode_steps={"forward": 9, "advance": 1}),
        record("false_switch", **failed),
        record("false_switch", **failed, counterfactual_success=False),
        record("three_switches"),
        record("switch_back", **failed),
    ]
    others = [
        record(run, method=method, time_to_b_s=9.0)
        for method in BASELINES
        for run in ("early", "mid", "false_switch", "three_switches", "switch_back")
    ]
    rates = {"ours": REFUSED, "baseline": {key: r | {"rate": 0.0} for key, r in REFUSED.items()}}
    return summarise(SETTINGS, records + others, rates)


def test_a_baseline_is_compared_on_the_same_switches_by_an_exact_test() -> None:
    def switch(i: int, method: str, success: bool, time: float | None, **other: Any) -> dict[str, Any]:
        return record("mid", method=method, layout_seed=i, success=success, time_to_b_s=time, **other)

    won = [(True, False)] * 9 + [(False, True)] + [(True, True)] * 3 + [(False, False)]
    ours = [switch(i, "ours", a, 2.0 + i if a else None) for i, (a, _) in enumerate(won)]
    theirs = [switch(i, "keep", b, 3.0 if b else None) for i, (_, b) in enumerate(won)]
    ours += [switch(99, "ours", True, 1.0), switch(0, "ours", True, 1.0, tasks=["lamp_on", "put_red"])]  # not in theirs
    made = paired(ours, theirs, ["mid"])
    assert made["mid"] == made["all"]
    assert [made["mid"][key] for key in ("switches", "ours_alone", "theirs_alone", "both")] == [14, 9, 1, 3]
    assert made["mid"]["time_to_b_s"] == {"ours": 13.0, "theirs": 3.0}
    assert made["mid"]["p"] == pytest.approx(2 * (1 + 10) / 2**10)
    assert exact_p(0, 0) == exact_p(4, 4) == 1 and exact_p(0, 20) == exact_p(20, 0) < 1e-5
    page_text = markdown(report() | {"command": "c"})
    assert "| early, same switches: ours alone, it alone, p | – | 0, 0 of 1, p 1 |" in page_text
    assert "| early, both succeed: ours, it | – | 2.00 s, 9.00 s |" in page_text


def test_every_figure_is_counted_as_it_is_defined() -> None:
    made = report()
    won = {phase: (r["successes"], r["episodes"]) for phase, r in made["switch"].items()}
    assert won == {"early": (1, 2), "mid": (2, 3)}
    assert made["no_switch"]["episodes"] == 12 and made["no_switch"]["successes"] == 11
    assert made["resume"]["rate"] == 0.5 and made["resume"]["by"]["continue"]["rate"] == 1
    assert made["false_switch"] | {"low": 0, "high": 0} == {
        "episodes": 4,
        "false": 2,
        "rate": 0.5,
        "low": 0,
        "high": 0,
        "other_mode": 1,
        "failed": 1,
    }
    assert made["object_safety"]["episodes"] == 2 and made["object_safety"]["rate"] == 0.5
    assert made["unknown_refused"]["rate"] == 0.95
    assert made["reaction_s"] == {"p50": 0.1, "p99": pytest.approx(0.196), "episodes": 5}
    assert made["time_to_b_s"]["p50"] == 2.0 and made["time_to_b_s"]["phases"]["mid"]["p50"] == 3.0
    assert made["jerk_ratio"] == 1.0 and made["interventions"]["limit_violations"] == 1
    assert made["interventions"]["safety_monitor"] == {"x": 22}
    assert made["skipped"] == ["mid, seed 5"] and made["redraws"] == 49
    assert made["pairs"]["put_red"]["lamp_on"]["phases"]["mid"]["successes"] == 2
    assert made["three_switches"]["rate"] == 1 and made["switch_back"]["rate"] == 0


def test_each_baseline_has_the_same_figures() -> None:
    made = report()
    assert set(made["baselines"]) == set(BASELINES)
    for section in made["baselines"].values():
        assert set(section) == set(made) - {"settings", "policy", "sha256", "seed", "baselines"} | {"paired"}
        assert section["unknown_refused"]["rate"] == 0 and section["resume"]["episodes"] == 0


def test_the_page_and_the_table_show_the_figures_of_the_report() -> None:
    made = report() | {"command": "python -m x"}
    written = "".join(section.html for section in view(made).sections)
    assert "early: retreat" in written
    assert 'data-task="put_red → lamp_on" title="put_red → lamp_on: early 1/1, mid 2/3">3/4</button>' in written
    table = markdown(made)
    assert "| | ours | keep | flush | retreat |" in table and "| time to B, median | 2.00 s | 9.00 s |" in table
    assert all(line.count("|") == 6 for line in table.splitlines() if line.startswith("|"))


def test_a_phase_without_an_episode_has_a_dash_for_a_rate() -> None:
    nothing = {"episodes": 0, "successes": 0, "rate": 0.0, "low": 0.0, "high": 1.0}
    made = report()
    tiles = view(made | {"switch": {"mid": nothing}, "resume": made["resume"] | nothing, "false_switch": nothing}).tiles
    assert {name for name, figure, _ in tiles if figure == "–"} >= {
        "mid switch",
        "resumed",
        "false switches",
    }


# -- the command


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sim.evaluate", "models/tabletop", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


def test_the_shipped_policy_is_evaluated_and_filmed_and_a_killed_run_continues(tmp_path: Path) -> None:
    out = tmp_path / "out"
    small = ["--switch", "mid", "--pairs", "3", "--episodes", "1", "--processes", "1", "--films", "1", "--out", out]
    done = run(*small)
    assert done.returncode == 0, done.stderr
    first = json.loads((out / "report.json").read_text())
    assert first["switch"]["mid"]["episodes"] == 1 and first["baselines"] == {}
    assert first["command"].endswith(f"--world tabletop --switch mid --pairs 3 --episodes 1 --seed 1000000 --out {out}")
    (film,) = (out / "videos").iterdir()
    assert f"videos/{film.name}" in (out / "index.html").read_text()
    with av.open(str(film)) as container:
        assert sum(1 for _ in container.decode(video=0)) > BEFORE

    log = out / "episodes.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    assert len(lines) == 1 + len(OTHER_RUNS)
    log.write_text("".join(lines[:3]) + lines[3][:20])  # as a kill in the middle of a write leaves it
    assert run(*small).returncode == 0
    assert log.read_text() == "".join(lines)
    assert json.loads((out / "report.json").read_text()) == first
    assert "holds another evaluation (pairs '3' there" in run(*small, "--pairs", "4").stderr


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--switch", "midd"], "did you mean 'mid'"),
        (["--switch", "mid", "--pairs", str(PAIRS + 1)], f"from 1 to {PAIRS}"),
        (["--switch", "mid", "--seed", "7"], "training seed"),
        (["--pairs", "3"], "--pairs is for --switch"),
    ],
)
def test_a_wrong_argument_is_an_error_and_nothing_is_written(
    tmp_path: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["evaluate", "models/none", "--out", str(out), *arguments])
    with pytest.raises(InputError, match=message):
        evaluate.main()
    assert not out.exists()
