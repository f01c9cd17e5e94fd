"""The demo on a real (tiny) graph that moves one joint and so fails at every task: the demo must report it."""

import sys
from argparse import Namespace
from pathlib import Path

import av
import pytest

from policy import folders
from policy.errors import exit_code
from sim import demo, demo_stage
from sim.worlds.tabletop.tasks import TASKS
from tests.tiny import teach, write_model

pytestmark = pytest.mark.slow


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_model(tmp_path / "model")
    return tmp_path / "model"


def run(monkeypatch: pytest.MonkeyPatch, model: Path, *arguments: str) -> int:
    monkeypatch.setattr(demo_stage, "SIZE", (96, 128))
    out = model.parent / "demo"
    monkeypatch.setattr(sys, "argv", ["demo", "--model", str(model), "--out", str(out), *arguments])
    return exit_code(demo.main)


def test_instructions_in_a_row_are_reported_filmed_and_repeated_by_their_seed(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "CHAIN", 2)
    assert run(monkeypatch, model, "--seed", "1000000") == 0
    printed = capsys.readouterr().out
    said = printed.partition("to repeat it: ")[2].replace("\n", "")
    assert said.startswith(f"python -m sim.demo --model {model} --world tabletop --seed 1000000)")
    assert printed.count("not done in time") == 2 and "0 of 2 done" in printed
    page = (model.parent / "demo/index.html").read_text()
    assert "0 of 2 done" in page and page.count("<li>") == 2 and "{{" not in page
    with av.open(str(model.parent / "demo/video.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) >= 2 * 160
    asked = [line.split(":")[0].strip() for line in printed.splitlines() if "not done in time" in line]
    assert run(monkeypatch, model, "--seed", "1000000") == 0
    again = capsys.readouterr().out
    assert asked == [line.split(":")[0].strip() for line in again.splitlines() if "not done in time" in line]


def test_two_demos_do_not_write_one_film(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with folders.claimed(model.parent / "demo"):
        assert run(monkeypatch, model, "--seed", "1000000") == 2
    assert "another command is writing to" in capsys.readouterr().err
    assert [path.name for path in (model.parent / "demo").iterdir()] == [folders.LOCK]


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ({}, "make demo SEED=7"),
        ({"say": "open it"}, "make demo SEED=7 SAY='open it'"),
        ({"world": "libero_goal"}, "python -m sim.demo --model models/tabletop --world libero_goal --seed 7"),
        ({"model": "a b", "say": "x"}, "python -m sim.demo --model 'a b' --world tabletop --seed 7 --say x"),
    ],
)
def test_the_command_that_repeats_a_run_names_what_it_was_given(arguments: dict[str, str], command: str) -> None:
    given = {"model": demo.MODEL, "world": "tabletop", "say": None} | arguments
    assert demo._repeated(Namespace(**given), 7) == command


def test_a_sentence_is_judged_as_the_task_that_it_means(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = "please open up the drawer"
    assert sentence not in TASKS["open_drawer"].phrasings
    assert run(monkeypatch, model, "--say", sentence) == 0
    printed = capsys.readouterr().out
    assert "judged as open_drawer" in printed and "0 of 1 done" in printed


def test_a_sentence_that_means_no_task_is_followed_and_not_judged(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_stage, "UNJUDGED_STEPS", 10)
    assert run(monkeypatch, model, "--say", "quarterly revenue fell in [Spain]") == 0
    printed = capsys.readouterr().out
    assert "not judged" in printed and "[Spain]" in printed and " of 1 done" not in printed


def test_a_switching_policy_is_interrupted_and_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "model", switches=True)
    teach(tmp_path / "model", [(task.name, words) for task in TASKS.values() for words in task.phrasings])
    assert run(monkeypatch, tmp_path / "model", "--seed", "1000000") == 0
    printed = capsys.readouterr().out
    first, second, third = [line for line in printed.splitlines() if "/3 " in line]
    assert "interrupted with an object in the hand" in first  # the graph estimates contact in a dark scene
    assert "not done in time" in second and "3/3 continue: not done in time" in third and "0 of 2 done" in printed
    page = (tmp_path / "demo/index.html").read_text()
    assert "continue" in page and page.count("<li>") == 3


def test_a_refusal_is_said_at_once_and_is_called_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "model", switches=True)
    teach(tmp_path / "model", [("lamp_on", words) for words in TASKS["lamp_on"].phrasings])
    for sentence in ("boil an egg", "open the drawer"):  # no task would judge it; a task would
        assert run(monkeypatch, tmp_path / "model", "--say", sentence) == 0
        printed = capsys.readouterr().out
        assert "1/1 " + sentence + ": refused: unknown instruction" in printed and printed.count("\nRefused\n") == 1
        assert "not judged\n" not in printed and " after " not in printed.split("1/1")[1]
        page = (tmp_path / "demo/index.html").read_text()
        assert "<h1>Refused</h1>" in page and ">refused</span>" in page and "success" not in page.split("<main>")[1]
        with av.open(str(tmp_path / "demo/video.mp4")) as film:
            assert sum(1 for _ in film.decode(video=0)) <= demo_stage.LINGER + 3


def test_what_is_interrupted_is_no_failure(tmp_path: Path) -> None:
    steps = [
        demo_stage.Step("a", "put_red", None, 1.0, demo_stage.INTERRUPTED),
        demo_stage.Step("b", "lamp_on", True, 2.0, "done"),
        demo_stage.Step("continue", "put_red", True, 3.0, "done"),
    ]
    demo._write_page(tmp_path, demo._headline(steps), steps, "make demo")
    page = (tmp_path / "index.html").read_text().split("<main>")[1]
    assert "<h1>2 of 2 done</h1>" in page and 'class="badge success">done' in page and "failure" not in page
    demo._write_page(
        tmp_path, "", [*steps, demo_stage.Step("c", "lamp_off", False, 9.0, "not done in time")], "make demo"
    )
    assert 'class="badge failure">not done' in (tmp_path / "index.html").read_text()


def test_an_empty_instruction_is_an_error_with_examples(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, model, "--say", "  ") == 2
    assert "SAY is empty" in capsys.readouterr().err
    assert not (model.parent / "demo").exists()


def test_a_world_without_a_thing_to_carry_is_shown_or_refused_and_never_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "CHAIN", 1)
    write_model(tmp_path / "model", robot="desk_arm")
    assert run(monkeypatch, tmp_path / "model", "--world", "desk_arm") == 0
    assert "of 1 done" in capsys.readouterr().out
    write_model(tmp_path / "switching" / "model", switches=True)
    monkeypatch.setattr(demo, "taught", lambda *_: ["lamp_on", "open_drawer"])
    assert run(monkeypatch, tmp_path / "switching" / "model") == 2
    assert "one task that carries an object and one that does not; give SAY" in capsys.readouterr().err


def test_a_chain_ends_where_all_that_the_policy_knows_is_done() -> None:
    left = ["lamp_on", "open_drawer"]
    tasks = {name: Namespace(name=name, possible=lambda _, name=name: name in left) for name in left}

    def perform(sentence: str, task: Namespace, number: str) -> Namespace:
        left.remove(task.name)
        return Namespace(task=task.name)

    stage = Namespace(sentence=lambda task, _: task.name, perform=perform)
    steps = demo.chain(stage, Namespace(tasks=tasks), 0, list(tasks))
    assert {step.task for step in steps} == set(tasks) and len(steps) == 2
