"""What is measured of switches, what the report makes of it, and the command from end to end."""

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
from sim.layout import HOME
from sim.switch_evaluation import film, measures, refusals
from sim.switch_evaluation import switch_jobs as switching
from sim.switch_evaluation import switch_page as page
from sim.switch_evaluation.methods import BASELINES, METHODS
from sim.switch_evaluation.switch_jobs import Job
from sim.switch_evaluation.switch_report import markdown, summarise
from sim.tasks import TASKS
from sim.world import OPEN, RATE
from tests.tiny import write_model

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
LIMITS = load("tabletop").limits


# -- what is measured


def test_a_reaction_is_the_first_set_point_that_answers_and_differs() -> None:
    alone = np.zeros((20, 8))
    sent, answers = alone.copy(), np.zeros(20, bool)
    sent[10:] = 0.01  # an old inference was thrown away
    answers[12:] = True
    assert measures.reaction(sent, answers, alone, at=9) == pytest.approx(3 / RATE)
    sent[10:14] = 0  # the new chunk says the same at first
    assert measures.reaction(sent, answers, alone, at=9) == pytest.approx(5 / RATE)
    assert measures.reaction(alone, answers, alone, at=9) is None


def test_a_jerk_ratio_is_one_for_the_same_motion_and_more_for_a_leap() -> None:
    alone = np.zeros((60, 8))
    alone[:, 0] = 0.1 * np.sin(np.linspace(0, 20, 60))
    assert measures.jerk_ratio(alone, alone, 20) == pytest.approx(1, abs=0.15)
    leap = alone.copy()
    leap[25:, 0] += 0.5
    assert measures.jerk_ratio(leap, alone, 20) > 10
    too_early = 10
    assert measures.jerk_ratio(leap, alone, too_early) == pytest.approx(1, abs=0.15)
    gripping = alone.copy()
    gripping[25:, 7] = 0.08  # its commands leap by nature
    assert measures.jerk_ratio(gripping, alone, 20) == measures.jerk_ratio(alone, alone, 20)


def test_set_points_beyond_limits_are_counted() -> None:
    began = np.append(HOME, OPEN)
    step = LIMITS.velocity / RATE
    still = np.repeat(began[None], 5, 0)
    assert measures.beyond(still, began, LIMITS) == 0
    at_the_limit = began + np.arange(1, 4)[:, None] * np.append(step[:7], 0)
    assert measures.beyond(at_the_limit.astype(np.float32), began, LIMITS) == 0
    too_fast = still.copy()
    too_fast[2:, 3] += 1.1 * step[3]
    assert measures.beyond(too_fast, began, LIMITS) == 1
    assert measures.beyond(too_fast[2:], began, LIMITS) == 1  # the first one is measured from the state
    too_far = still.copy()
    too_far[:, 7] = 0.0801
    assert measures.beyond(too_far, began, LIMITS) == 5


def places(*heights: float) -> np.ndarray:
    return np.array([[0.45, 0.0, z] for z in heights])


@pytest.mark.parametrize(
    "heights, touched, wanted, safe",
    [
        ((0.20, 0.20, 0.12, 0.02, 0.02), "11000", "00000", False),  # let go in the air
        ((0.20, 0.08, 0.04, 0.02, 0.02), "11100", "00000", True),  # put down to within 3 cm
        ((0.20, 0.08, 0.06, 0.02, 0.02), "11100", "00000", False),  # not quite
        ((0.10, 0.10, 0.10, 0.10, 0.10), "11111", "00000", True),  # held all along
        ((0.10, 0.10, 0.10, 0.02, 0.02), "10100", "00000", False),  # a finger slips for a moment, then it falls
        ((0.07, 0.07, 0.05, 0.026, 0.026), "11000", "00011", True),  # let fall into the bowl, as was asked for
        ((0.02, 0.02, -0.03, -0.3, -0.68), "00000", "00000", False),  # knocked off the table
    ],
)
def test_a_thing_is_safe_unless_it_is_dropped_or_leaves_the_table(
    heights: tuple[float, ...], touched: str, wanted: str, safe: bool
) -> None:
    marks = (np.array([mark == "1" for mark in row]) for row in (touched, wanted))
    assert measures.safe(places(*heights), *marks) is safe


def test_off_the_edge_is_not_safe_while_it_is_still_at_its_height() -> None:
    where = places(0.02, 0.02)
    where[1, 1] = 0.63
    assert not measures.safe(where, np.zeros(2, bool), np.zeros(2, bool))


# -- the report


def test_unknown_sentences_are_new_and_a_policy_that_does_not_know_them_says_so(tmp_path: Path) -> None:
    said = {words for task in TASKS.values() for words in (*task.phrasings, *task.reworded, *task.new_words)}
    assert len(set(refusals.UNKNOWN) - said) == 20
    write_model(tmp_path / "switching", switches=True)
    write_model(tmp_path / "plain")
    told = refusals.refusals(Session(tmp_path / "switching", 1, "cpu"))
    assert told["unknown_refused"]["successes"] == 20 - len(told["unknown_refused"]["accepted"]) >= 19
    assert "could you pull open the drawer" not in told["reworded_refused"]["refused"]  # it was taught the drawer
    assert "lamp on please" in told["reworded_refused"]["refused"]
    plain = refusals.refusals(Session(tmp_path / "plain", 1, "cpu"))
    assert plain["unknown_refused"]["rate"] == plain["reworded_refused"]["rate"] == 0


def record(run: str = "mid", **other: Any) -> dict[str, Any]:
    return {
        "method": "ours",
        "run": run,
        "seed": 1,
        "void": False,
        "redraws": 0,
        "twins": [True],
        "table": 1,
        "tasks": ["put_red", "lamp_on"],
        "instructions": ["a", "b"],
        "at": [9],
        "success": True,
        "alone": True,
        "seconds": 2.0,
        "reaction_s": 0.1,
        "jerk_ratio": 1.0,
        "modes": {},
        "refused": "",
        "interventions": {"x": 2},
        "safe": None,
        "resumed": None,
        "steps": 50,
        "beyond_limits": 0,
    } | other


REFUSED = {
    "unknown_refused": {"episodes": 20, "successes": 19, "rate": 0.95, "low": 0.8, "high": 1.0},
    "reworded_refused": {"episodes": 48, "successes": 0, "rate": 0.0, "low": 0.0, "high": 0.1},
}
SETTINGS = {"policy": "p", "sha256": "s", "baseline": "q", "seed": 1, "phases": ["early", "mid"]}


def report() -> dict[str, Any]:
    lost: dict[str, Any] = {"success": False, "seconds": None}
    records = [
        record("early"),
        record("early", **lost, tasks=["lamp_on", "put_red"], twins=[False, True], redraws=1),
        record(safe=True, resumed={"by": "continue", "success": True}),
        record(safe=False, resumed={"by": "words", "success": False}, seconds=4.0, jerk_ratio=3.0),
        record(**lost, reaction_s=0.2, beyond_limits=1),
        {"method": "ours", "run": "mid", "seed": 5, "void": True, "redraws": 48, "twins": []},
        record("false_switch", modes={"forward": 9}),
        record("false_switch", modes={"forward": 9, "advance": 1}),
        record("false_switch", **lost),
        record("false_switch", **lost, alone=False),
        record("three_switches"),
        record("switch_back", **lost),
    ]
    others = [
        record(run, method=method, seconds=9.0)
        for method in BASELINES
        for run in ("early", "mid", "false_switch", "three_switches", "switch_back")
    ]
    words = {"ours": REFUSED, "baseline": {key: r | {"rate": 0.0} for key, r in REFUSED.items()}}
    return summarise(SETTINGS, records + others, words)


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
    assert made["reaction_s"] == {"p50": 0.1, "p99": pytest.approx(0.196)}
    assert made["time_to_b_s"]["p50"] == 2.0 and made["time_to_b_s"]["phases"]["mid"]["p50"] == 3.0
    assert made["jerk_ratio"] == 1.0 and made["interventions"]["beyond_limits"] == 1
    assert made["interventions"]["guard"] == {"x": 22}
    assert made["void"] == ["mid, seed 5"] and made["redraws"] == 49
    assert made["pairs"]["put_red"]["lamp_on"]["phases"]["mid"]["successes"] == 2
    assert made["three_switches"]["rate"] == 1 and made["switch_back"]["rate"] == 0


def test_each_baseline_has_the_same_figures() -> None:
    made = report()
    assert set(made["baselines"]) == set(BASELINES)
    for section in made["baselines"].values():
        assert set(section) == set(made) - {"settings", "policy", "sha256", "seed", "baselines"}
        assert section["unknown_refused"]["rate"] == 0 and section["resume"]["episodes"] == 0


def test_the_page_and_the_table_say_what_the_report_says(tmp_path: Path) -> None:
    made = report() | {"command": "python -m x", "videos": []}
    page.write_page(tmp_path, made)
    written = (tmp_path / "index.html").read_text()
    assert "{{" not in written and "early: retreat" in written
    assert 'title="early 1/1, mid 2/3"' in written and ">3/4</td>" in written
    table = markdown(made)
    assert "| | ours | keep | flush | retreat |" in table and "| time to B, median | 2.00 s | 9.00 s |" in table
    assert all(line.count("|") == 6 for line in table.splitlines() if line.startswith("|"))


def test_films_show_a_success_on_one_table_and_what_failed_or_was_dropped_beside_the_baselines() -> None:
    rows: list[tuple[dict[str, Any], Job]] = []
    for seed, (won, safe, table) in enumerate(
        [(True, False, 1), (True, None, 7), (False, None, 1), (True, True, 1), *[(False, True, 1)] * film.FAILURES]
    ):
        for method in METHODS:
            there = table if method == "ours" else 1
            row = record("mid", method=method, seed=seed, success=won, safe=safe, table=there)
            rows.append((row, Job(method, "mid", seed, (("put_red", "lamp_on"),))))
    films = film.choose(*map(list, zip(*rows, strict=True)))
    failures = [0, 2, *range(4, 2 + film.FAILURES)]
    assert [(name, jobs[0].seed) for name, jobs in films] == [
        ("mid-success", 3),
        *((f"mid-failure-{i + 1}", seed) for i, seed in enumerate(failures)),
    ]
    assert all([j.method for j in jobs] == ["ours", "flush", "retreat"] for _, jobs in films)


# -- the command


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sim.evaluate", "models/tabletop", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


def test_the_shipped_policy_is_evaluated_filmed_and_gone_on_with_after_a_kill(tmp_path: Path) -> None:
    out = tmp_path / "out"
    small = ["--switch", "mid", "--pairs", "3", "--episodes", "1", "--processes", "1", "--out", out]
    done = run(*small)
    assert done.returncode == 0, done.stderr
    first = json.loads((out / "report.json").read_text())
    assert first["switch"]["mid"]["episodes"] == 1 and first["baselines"] == {}
    assert first["command"].endswith(f"--switch mid --pairs 3 --episodes 1 --seed 1000000 --out {out}")
    for video in first["videos"]:
        assert video["file"] in (out / "index.html").read_text()
        with av.open(str(out / video["file"])) as container:
            assert sum(1 for _ in container.decode(video=0)) > switching.BACK[0]

    log = out / "episodes.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    assert len(lines) == 1 + len(switching.OTHERS)
    log.write_text("".join(lines[:3]) + lines[3][:20])  # as a kill in the middle of a write leaves it
    assert run(*small).returncode == 0
    assert log.read_text() == "".join(lines)
    assert json.loads((out / "report.json").read_text()) == first
    assert "holds another evaluation (pairs '3' there" in run(*small, "--pairs", "4").stderr


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["--switch", "midd"], "did you mean 'mid'"),
        (["--switch", "mid", "--pairs", "133"], "from 1 to 132"),
        (["--switch", "mid", "--seed", "7"], "training seed"),
        (["--pairs", "3"], "give --switch"),
    ],
)
def test_a_wrong_argument_is_told_and_nothing_written(
    tmp_path: Path, arguments: list[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["evaluate", "models/none", "--out", str(out), *arguments])
    with pytest.raises(InputError, match=told):
        evaluate.main()
    assert not out.exists()
