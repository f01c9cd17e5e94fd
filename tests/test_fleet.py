"""Several robots of one evaluation on one session: the same records as one by one, by fewer runs of the graph."""

import sys
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest

from policy.errors import exit_code
from policy.running.batching import Batching
from sim import evaluate
from tests.tiny import write_model


def command(model: Path, out: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
    small = ["--tasks", "lamp_on", "--episodes", "1", "--chains", "0", "--films", "0", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["evaluate", str(model), *small, *more])
    return exit_code(evaluate.main)


@pytest.mark.slow
def test_a_fleet_plays_the_episodes_that_single_robots_play(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_model(tmp_path / "model")
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    together, answer = list[int](), Batching._answer

    def counted(batching: Batching, calls: list[Any]) -> None:
        together.append(len(calls))
        answer(batching, calls)

    monkeypatch.setattr(Batching, "_answer", counted)
    assert command(tmp_path / "model", tmp_path / "fleet", monkeypatch, "--robots", "4", "--provider", "tensorrt") == 0
    assert caplog.text.count("provider tensorrt is not used") == 1  # opened once for all four
    assert sum(together) > 60 and together.count(4) > 0.5 * len(together)  # four episodes, that never succeed
    assert command(tmp_path / "model", tmp_path / "single", monkeypatch, "--processes", "1") == 0
    records = [sorted((tmp_path / out / "episodes.jsonl").read_text().splitlines()) for out in ("fleet", "single")]
    assert records[0] == records[1] and len(records[0]) == 4


def test_what_is_for_one_robot_alone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for model, more, why in (
        (str(tmp_path), ["--switch", "mid"], "--switch does not read it"),
        ("ws://127.0.0.1:1", [], "a served policy is for one robot at a time"),
    ):
        monkeypatch.setattr(sys, "argv", ["evaluate", model, "--robots", "2", *more])
        assert exit_code(evaluate.main) == 2
        assert why in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["evaluate", str(tmp_path), "--provider", "cuda", "--words", "all"])
    assert exit_code(evaluate.main) == 2
    assert "--provider is for a plain evaluation; --words does not read it" in capsys.readouterr().err
