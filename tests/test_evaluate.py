"""The command from end to end on a real (tiny) graph, and the figures that it writes."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import pytest

from policy.errors import InputError, exit_code
from policy.learning.card import evaluation_table
from sim import evaluate, plain_report
from sim.evaluation_page.written import read_report
from sim.evaluation_run import fingerprint, play_all
from sim.film import film
from sim.success_rate import success_rate, wilson_interval
from sim.worlds.interface import World
from sim.worlds.tabletop.world import Tabletop
from tests.tiny import write_model

ROOT = Path(__file__).parent.parent
SMALL = ["--tasks", "lamp_on", "--episodes", "1", "--chains", "1", "--processes", "1", "--films", "1"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_model(folder)
    return folder


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sim.evaluate", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_it_reports_and_films_and_a_killed_run_continues(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim.evaluation_worker.FILM_SIZE", (48, 64))  # of films that are made in this process
    out = tmp_path / "out"
    done = run(model, *SMALL, "--out", out)
    assert done.returncode == 0, done.stderr
    first = json.loads((out / "report.json").read_text())
    assert first["policy"] == str(model) and first["seed"] == 1_000_000
    assert first["tasks"]["lamp_on"] | {"low": 0, "high": 0} == {
        "episodes": 1,
        "successes": 0,
        "rate": 0.0,
        "low": 0,
        "high": 0,
    }
    assert first["mean"] == 0 and first["starts"]["home"]["episodes"] == 1
    assert {first["held_out_phrasings"][k]["mean"] for k in ("reworded", "new_words")} == {0}
    assert first["control"]["shuffled_instruction"]["mean"] == 0
    assert first["chains"]["episodes"] == 1 and first["chains"]["mean_length"] == 0
    films = [path.name for path in (out / "videos").iterdir()]
    assert films == ["main-lamp_on-1000000.mp4"] and f"videos/{films[0]}" in (out / "index.html").read_text()
    with av.open(str(out / "videos" / films[0])) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert sum(1 for _ in container.decode(video=0)) == 80 and container.streams.video[0].average_rate == 10
    played = (out / "curves/0.js").read_text().splitlines()
    assert sorted(int(line.split("(")[1].split(",")[0]) for line in played) == [0, 1, 2, 3, 4]

    monkeypatch.setattr(Tabletop, "film", World.film)  # without shadows
    (made,) = film(out, 1_000_003, None, None)  # the control
    assert made.name == "shuffled-lamp_on-1000003.mp4" and f"videos/{made.name}" in (out / "index.html").read_text()
    (other,) = film(out, 7_000_000, "main", "lamp_on")
    assert other.name == "main-lamp_on-7000000.mp4" and other.exists()

    log = out / "episodes.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    assert len(lines) == 5
    log.write_text("".join(lines[:3]) + lines[3][:20])  # as a kill in the middle of a write leaves it
    assert run(model, *SMALL, "--out", out).returncode == 0
    assert log.read_text().startswith("".join(lines[:3]))
    assert sorted(log.read_text().splitlines(keepends=True)) == sorted(lines)
    assert json.loads((out / "report.json").read_text()) == first

    other = run(model, *SMALL, "--out", out, "--seed", "1000001")
    assert other.returncode == 2 and "holds another evaluation (seed 1000000 there" in other.stderr
    assert sorted(log.read_text().splitlines(keepends=True)) == sorted(lines)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--seed", "999999"], "training seed"),
        (["--tasks", "lamp_onn"], "did you mean 'lamp_on'"),
        (["--episodes", "0"], "at least 1"),
        (["--robots", "-3"], "--robots -3: expected a whole number of at least 1"),
        (["--words", "pairs", "--tasks", "put_rde"], "--tasks is for a plain evaluation, --shift, --latency-ms"),
        (["--switch", "early", "--chains", "7"], "--chains is for a plain evaluation; --switch does not read it"),
        (["--words", "all", "--world", "desk_arm"], "frozen sentences, of which the world desk_arm has none"),
        (["--switch", "mid", "--world", "gym:FrankaKitchen-v1"], "tasks and does not tell contact"),
        (["--tasks", "memory", "--chains", "5"], "has others beside it in its scene; leave it out"),
        (["--shift", "noise", "--pairs", "3"], "--pairs is for --switch; --shift does not read it"),
    ],
)
def test_a_wrong_argument_is_an_error_and_nothing_is_written(
    model: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["evaluate", str(model), "--out", str(out), *arguments])
    assert exit_code(evaluate.main) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_an_error(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = run(model, *SMALL, "--out", tmp_path / "file" / "out")
    assert done.returncode == 2 and "is a file, expected a folder to write into" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "successes, episodes, low, high", [(0, 10, 0.0, 0.2775), (95, 100, 0.8882, 0.9785), (10, 10, 0.7225, 1.0)]
)
def test_intervals_are_those_of_wilson(successes: int, episodes: int, low: float, high: float) -> None:
    assert wilson_interval(successes, episodes) == pytest.approx((low, high), abs=1e-4)


def test_the_mean_is_over_tasks_and_initial_states_are_apart() -> None:
    def record(run: str, task: str, success: bool, start: str = "home") -> dict[str, object]:
        return {"run": run, "task": task, "success": success, "start": start, "steps": 10, "interventions": {"x": 2}}

    records = [
        record("main", "a", True),
        record("main", "a", True),
        record("main", "a", False, "other"),
        record("main", "b", True),
        record("reworded", "a", True),
        record("reworded", "b", False),
        record("new_words", "a", False),
        record("new_words", "b", False),
        record("shuffled", "a", False),
        record("shuffled", "b", False),
        {"run": "shuffled", "task": "a", "skipped": True},
    ]
    made = plain_report.summarise({"policy": "p", "sha256": "s", "seed": 1, "tasks": ["a", "b"]}, records)
    assert made["mean"] == pytest.approx((2 / 3 + 1) / 2)
    assert made["starts"]["home"]["rate"] == 1 and made["starts"]["other"]["rate"] == 0
    assert made["held_out_phrasings"]["reworded"]["mean"] == 0.5
    unasked = plain_report.summarise(
        {"policy": "p", "sha256": "s", "seed": 1, "tasks": ["a", "b"]},
        [r for r in records if r["run"] not in ("new_words", "shuffled")],
    )
    assert (
        unasked["held_out_phrasings"]["new_words"]["mean"] is unasked["control"]["shuffled_instruction"]["mean"] is None
    )
    assert made["safety_monitor"] == {"control_steps": 40, "interventions": {"x": 8}}


def test_a_chain_that_ran_out_of_tasks_counts_as_one_without_a_failure() -> None:
    """How far it would have come is not known, so there is no mean; nor are the failures alone one."""

    def chain(completed: int, **ended: bool) -> dict[str, object]:
        subtasks = [{"success": True}] * completed + [{"success": False}] * (completed < 5 and not ended)
        return {"run": "chain", "completed": completed, "subtasks": subtasks, **ended}

    settings = {"policy": "p", "sha256": "s", "seed": 1, "tasks": ["a"]}
    main = {"run": "main", "task": "a", "success": True, "start": "home", "steps": 10, "interventions": {}}
    command = {"command": "python -m sim.evaluate"}
    full = plain_report.summarise(settings, [main, chain(5), chain(2)]) | command
    ended = plain_report.summarise(
        settings, [main, chain(5), chain(2), chain(3, out_of_tasks=True), chain(0, out_of_tasks=True)]
    )
    assert full["chains"] == success_rate([{"success": True}, {"success": False}]) | {
        "mean_length": 3.5,
        "lengths": [0, 0, 1, 0, 0, 1],
        "out_of_tasks": 0,
    }
    chains = ended["chains"]  # of which one had nothing to ask for
    assert (chains["successes"], chains["episodes"], chains["out_of_tasks"], chains["mean_length"]) == (2, 3, 1, None)
    assert ("chain of five", "3.50", "done in a row, 2 chains") in plain_report.KIND.view(full).tiles
    assert any(tile[:2] == ("chains without a failure", "2 of 3") for tile in plain_report.KIND.view(ended).tiles)
    assert "| tasks done of five in a row | 3.50 | 2 |" in evaluation_table(full)
    assert "without a failure | 66.7% (20.8% to 93.9%) | 3 |" in evaluation_table(ended | command)


def test_a_missing_report_is_an_error_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no readable report\.json .*`python -m sim\.evaluate"):
        read_report(tmp_path)


def test_what_is_evaluated_is_all_that_runs_of_a_folder(tmp_path: Path) -> None:
    """What a policy refuses, and how often it looks, is not in its graph."""
    write_model(model := tmp_path / "model", switches=True)
    seen = {fingerprint(model)}
    for name in ("instructions.safetensors", "spec.json"):
        file = model / name
        file.write_bytes(file.read_bytes() + b" ")
        seen.add(fingerprint(model))
    (model / "README.md").write_text("a card")
    assert len(seen) == 3 and fingerprint(model) in seen


def test_an_evaluation_of_a_served_policy_goes_on_wherever_it_is_served_by_then(tmp_path: Path) -> None:
    """It is known by what it says of itself; so is that of the baselines."""
    settings = {"policy": "ws://127.0.0.1:1", "sha256": "a", "baseline": "ws://127.0.0.1:2", "baseline_sha256": "b"}
    for moved in (settings, settings | {"policy": "ws://other:3", "baseline": "ws://other:4"}):
        with ThreadPoolExecutor(1) as pool:
            assert play_all(pool, print, [], tmp_path, moved, ()) == []
    for other in ({"sha256": "c"}, {"baseline_sha256": "c"}, {"policy": "models/tabletop"}):
        with ThreadPoolExecutor(1) as pool, pytest.raises(InputError, match="holds another evaluation"):
            play_all(pool, print, [], tmp_path, settings | other, ())


def test_a_task_that_is_named_twice_is_not_counted_twice() -> None:
    with pytest.raises(InputError, match="task 'lamp_on': got it 2 times, expected each once"):
        Tabletop.named("lamp_on,lamp_on")
