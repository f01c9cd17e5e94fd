"""The demo on a real (tiny) graph that moves one joint and so fails at everything: it must say so."""

import sys
from pathlib import Path

import av
import pytest
from safetensors.numpy import save_file

from policy.errors import exit_code
from policy.running.text import Text
from sim import demo
from sim.tasks import TASKS
from tests.tiny import write_model

pytestmark = pytest.mark.slow


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_model(tmp_path / "model")
    return tmp_path / "model"


def run(monkeypatch: pytest.MonkeyPatch, model: Path, *arguments: str) -> int:
    monkeypatch.setattr(demo, "SIZE", (96, 128))
    out = model.parent / "demo"
    monkeypatch.setattr(sys, "argv", ["demo", "--model", str(model), "--out", str(out), *arguments])
    return exit_code(demo.main)


def test_instructions_in_a_row_are_told_filmed_and_repeated_by_their_seed(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "CHAIN", 2)
    assert run(monkeypatch, model, "--seed", "1000000") == 0
    told = capsys.readouterr().out
    assert "make demo SEED=1000000" in told
    assert told.count("not done, gave up") == 2 and "0 of 2 done" in told
    page = (model.parent / "demo/index.html").read_text()
    assert "0 of 2 done" in page and page.count("<li>") == 2 and "{{" not in page
    with av.open(str(model.parent / "demo/video.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) >= 2 * 160
    asked = [line.split(":")[0].strip() for line in told.splitlines() if "gave up" in line]
    assert run(monkeypatch, model, "--seed", "1000000") == 0
    again = capsys.readouterr().out
    assert asked == [line.split(":")[0].strip() for line in again.splitlines() if "gave up" in line]


def test_what_is_said_is_judged_as_the_task_it_means(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = "please open up the drawer"
    assert sentence not in TASKS["open_drawer"].phrasings
    assert run(monkeypatch, model, "--say", sentence) == 0
    told = capsys.readouterr().out
    assert "judged as open_drawer" in told and "0 of 1 done" in told


def test_what_means_no_task_is_followed_and_judged_by_nobody(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "UNJUDGED_STEPS", 10)
    assert run(monkeypatch, model, "--say", "quarterly revenue fell in [Spain]") == 0
    told = capsys.readouterr().out
    assert "judged by nobody" in told and "[Spain]" in told and " of 1 done" not in told


def test_a_switching_policy_is_broken_off_and_told_to_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "model", switches=True)
    save_file(
        {"instructions": Text().embed([words for task in TASKS.values() for words in task.phrasings])},
        tmp_path / "model/instructions.safetensors",
    )
    assert run(monkeypatch, tmp_path / "model", "--seed", "1000000") == 0
    told = capsys.readouterr().out
    first, second, third = [line for line in told.splitlines() if "/3 " in line]
    assert "broken off with something in the hand" in first  # the scene is dark enough for the graph to tell contact
    assert "gave up" in second and "3/3 continue: not done, gave up" in third and "0 of 2 done" in told
    page = (tmp_path / "demo/index.html").read_text()
    assert "continue" in page and page.count("<li>") == 3


def test_saying_nothing_is_told_with_examples(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, model, "--say", "  ") == 2
    assert "SAY is empty" in capsys.readouterr().err
    assert not (model.parent / "demo").exists()
