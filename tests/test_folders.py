"""What stands where a command is to write: files, evaluations, recordings of another kind."""

import json
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policy import folders, look
from policy.errors import InputError, exit_code
from sim import demo, evaluate, film, record, switches
from sim.compare import compare
from sim.evaluation_page.written import read_report, read_settings, write_json
from sim.evaluation_run import play_all, run_evaluation
from sim.plain_report import KIND
from sim.video import Video
from tests import evaluation_folders, small
from tests.demo_bag import pretend
from tests.tiny import TAUGHT, teach, write_model

ROOT = Path(__file__).parent.parent


def test_no_command_ends_in_a_traceback_where_a_file_is_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    small.bags(tmp_path / "bags", 1)
    monkeypatch.setattr(sys, "argv", ["look", str(tmp_path / "bags"), "--contract", "tabletop", "--out", str(file)])
    for command in (
        lambda: record.main(["--tasks", "lamp_on", "--episodes", "1", "--out", str(file)]),
        look.main,
    ):
        with pytest.raises(InputError, match="is a file, expected a folder"):
            command()
    assert file.read_text() == "mine"


def test_the_page_of_an_evaluation_is_not_overwritten(tmp_path: Path) -> None:
    one, two = (evaluation_folders.write(tmp_path / name, set(), episodes=2) for name in ("one", "two"))
    with pytest.raises(InputError, match=r"one holds an evaluation, whose page would be lost"):
        compare(one, two, one)
    with pytest.raises(InputError, match="holds an evaluation"):
        folders.make_for_page(two)
    folders.make_for_page(tmp_path / "three")
    assert (tmp_path / "three").is_dir()


def test_the_page_of_a_comparison_tells_its_sides_apart(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = (evaluation_folders.write(tmp_path / name / "eval", set(), episodes=2) for name in ("one", "two"))
    compare(one, two, tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert "one/eval and two/eval" in page


def test_recordings_with_another_choice_of_looks_are_not_taken_for_these(tmp_path: Path) -> None:
    for varied, more in (("True", ["--plain"]), ("False", [])):
        folder = tmp_path / varied
        pretend(folder, "lamp_on_0000", task="lamp_on", seed="0", world="tabletop", varied=varied)
        command = ["--tasks", "lamp_on", "--episodes", "1", *more, "--out", str(folder)]
        with pytest.raises(InputError, match=f"was recorded with varied {varied}, and varied .* is asked for"):
            record.main(command)
    folder = tmp_path / "task"
    pretend(folder, "lamp_on_0000", task="put_red", seed="0", world="tabletop", varied="True")
    with pytest.raises(InputError, match="was recorded with task put_red, and task lamp_on is asked for"):
        record.main(["--tasks", "lamp_on", "--episodes", "1", "--out", str(folder)])


def test_switches_that_were_made_with_other_options_are_not_taken_for_these(tmp_path: Path) -> None:
    made = {"world": "tabletop", "varied": "True", "shared_grasp": "True"}
    pretend(tmp_path, "a_to_b_000001_mid", task="b", before="a", seed="1", **made)
    switches.refuse_others(tmp_path, "tabletop", varied=True, shared_grasp=True)
    for world, varied, shared in (("tabletop", False, True), ("desk_arm", True, True), ("tabletop", True, False)):
        with pytest.raises(InputError, match="a_to_b_000001_mid was made with"):
            switches.refuse_others(tmp_path, world, varied, shared)


def test_what_is_damaged_of_an_evaluation_is_named(tmp_path: Path) -> None:
    out = evaluation_folders.write(tmp_path / "one", set(), episodes=2)
    settings = json.loads((out / "settings.json").read_text())
    lines = (out / "episodes.jsonl").read_text().splitlines(keepends=True)
    (out / "episodes.jsonl").write_text("".join([lines[0], "{\n", *lines[1:]]))
    with pytest.raises(InputError, match=r"episodes\.jsonl, line 2, cannot be read"):
        play_all(None, None, [], out, settings, ("seed",))  # type: ignore[arg-type]
    (out / "settings.json").write_text("{")
    with pytest.raises(InputError, match=r"no readable settings\.json"):
        play_all(None, None, [], out, settings, ("seed",))  # type: ignore[arg-type]


def test_one_command_alone_plays_and_films_an_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both would play every episode, and write one film at the same time."""
    out = evaluation_folders.write(tmp_path / "one", set(), episodes=2)
    settings = read_settings(out) | {"policy": "ws://127.0.0.1:1"}  # what is served is not looked for on the disk
    write_json(out / "settings.json", settings)
    kind = replace(KIND, jobs=lambda _: [], prepare=lambda *_: (lambda: None, ()), film=lambda _, path: path.touch())
    args = Namespace(out=str(out), robots=2, ray="", films=0)
    with folders.claimed(out), pytest.raises(InputError, match=r"another command is writing to .*one.*wait until"):
        run_evaluation(kind, settings, args, lambda _: {})
    monkeypatch.setattr(film, "kind_of", lambda _: replace(kind, jobs=KIND.jobs))
    with folders.claimed(out), pytest.raises(InputError, match="another command is writing"):
        film.film(out, 1_000_000, "main", "put_red")
    assert not (out / "videos").exists()
    assert film.film(out, 1_000_000, "main", "put_red")[0].exists()


def test_a_disk_that_fills_while_it_films_is_a_sentence_and_the_page_is_there(tmp_path: Path) -> None:
    """Half a film would keep the disk full."""
    out, begun = evaluation_folders.write(tmp_path / "one", set(), episodes=2), list[Path]()
    (out / "index.html").unlink()

    def film(_: object, path: Path) -> None:
        begun.append(path.with_suffix(".part.mp4"))
        begun[-1].symlink_to("/dev/full")
        with Video(path) as video:
            for _ in range(60):
                video.show(np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8))

    kind = replace(KIND, prepare=lambda *_: (lambda: None, ()), film=film)
    settings, report = read_settings(out), read_report(out)
    with pytest.raises(InputError, match=r"cannot write .*mp4 .No space left.* nothing of this film is left"):
        run_evaluation(kind, settings, Namespace(out=str(out), robots=2, ray="", films=1), lambda _: report)
    assert (out / "index.html").exists() and begun and not any(path.is_symlink() for path in begun)


@pytest.mark.parametrize("arguments", [["demo", "--seed", "-1"], ["film", "out", "-5", "--task", "lamp_on"]])
def test_a_negative_seed_is_a_sentence(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", arguments)
    assert exit_code({"demo": demo, "film": film}[arguments[0]].main) == 2
    assert f"got the seed {arguments[2]}, expected 0 to" in capsys.readouterr().err


def test_the_baselines_are_not_driven_by_a_policy_that_switches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "ours", switches=True)
    teach(tmp_path / "ours", [("open_drawer", TAUGHT[0]), ("lamp_on", TAUGHT[3])])
    out, ours = tmp_path / "out", str(tmp_path / "ours")
    monkeypatch.setattr(sys, "argv", ["evaluate", ours, "--switch", "mid", "--baseline", ours, "--out", str(out)])
    assert exit_code(evaluate.main) == 2
    assert "ours switches by itself" in capsys.readouterr().err and not out.exists()


def test_every_benchmark_says_what_it_does_and_ends_with_an_exit_code() -> None:
    for file in sorted((ROOT / "benchmarks").glob("*.py")):
        text = file.read_text()
        if 'if __name__ == "__main__":' in text:
            assert "sys.exit(exit_code(main))" in text, file.name
            assert "ArgumentParser(" in text, file.name
