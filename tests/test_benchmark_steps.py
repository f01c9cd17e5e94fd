"""From nothing to the figures of a model: the steps in their order, and the recipes of LIBERO-Goal."""

import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import continual, flagship, libero
from benchmarks.made_by import content, record_of, write
from benchmarks.steps import Step, kept, run_until
from benchmarks.study import Report, run_steps
from policy.data.bag_files import find_bags
from policy.errors import InputError
from policy.learning import recipe
from policy.learning.model import Policy
from policy.robot.contract import load
from tests.tiny import write_model


def test_each_step_is_a_command_and_what_is_made_is_not_made_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made, second = tmp_path / "folder" / "made", ["no.such.module"]
    write(kept(made), record_of([second]))
    made.parent.mkdir()
    made.touch()
    steps = [
        Step("first", ["calendar", "2026", "11"]),
        Step("second", second, made),
        Step("third", ["no.such.module"]),
    ]
    run_until(steps, "second")
    said = capfd.readouterr().out
    assert "first: -m calendar 2026 11" in said and "November 2026" in said and "second: done already" in said
    with pytest.raises(InputError, match=r"third failed; .* the same command again"):
        run_until(steps, "")
    with pytest.raises(InputError, match="--until last: expected one of first, second, third"):
        run_until(steps, "last")


def test_what_is_made_of_a_training_that_went_on_is_made_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trained, made = tmp_path / "run" / "checkpoint-1" / "ema.safetensors", tmp_path / "model" / "policy.json"
    for folder in (trained.parent, made.parent):
        folder.mkdir(parents=True)

    def export(weights: str, *options: str) -> bool:
        trained.write_text(weights)
        run_until([Step("export", ["json.tool", trained, str(made), *options], made)], "")
        return "done already" not in capfd.readouterr().out

    assert export("[1]") and not export("[1]")
    assert export("[2]") and made.read_text().split() == ["[", "2", "]"]
    assert export("[2]", "--compact") and content(tmp_path / "run") == content(trained)


@pytest.mark.parametrize("changed", ["given.json", "model/policy.onnx", "bags/b.mcap", "--indent"])
def test_what_was_made_otherwise_is_refused_and_not_taken_for_what_is_asked(tmp_path: Path, changed: str) -> None:
    """By other options, from another model, or from other recordings."""
    (given := tmp_path / "given.json").write_text("{}")
    write_model(model := tmp_path / "model")
    (bags := tmp_path / "bags").mkdir()
    (bags / "a.mcap").touch()

    def make(indent: int) -> Report:
        report = tmp_path / "out" / "eval.json"
        step = ["json.tool", given, str(report), "--indent", indent]
        return run_steps("it", report.parent, [step], report, inputs=[model, bags])

    assert make(1) == {} == make(1)
    (tmp_path / changed).write_text("[]")
    with pytest.raises(InputError, match=rf"{changed.split('/')[0]}: .* there, .* asked for.*another --out"):
        make(2 if changed == "--indent" else 1)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_benchmark_that_is_killed_leaves_no_step_running(number: signal.Signals, tmp_path: Path) -> None:
    """Of either kind: one after the other, and one on each core."""
    script = (
        "import os, sys, time\nfrom pathlib import Path\nfrom threading import Thread\n"
        "from benchmarks.steps import Step, run\nfrom benchmarks.study import run_steps\n"
        "out = Path(sys.argv[1])\n"
        "def nap(name):\n"
        "    note = f'import os, pathlib; pathlib.Path({str(out / name)!r}).write_text(str(os.getpid()))'\n"
        "    return ['timeit', '-n', '1', '-r', '1', '-s', note, 'import time; time.sleep(600)']\n"
        "Thread(target=run_steps, args=('it', out / 'study', [nap('one')], out / 'report')).start()\n"
        "run(Step('it', nap('two')))\n"
    )
    noted = [tmp_path / "one", tmp_path / "two"]
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=Path(__file__).parents[1]) as benchmark:
        try:
            _until(lambda: all(path.exists() and path.read_text() for path in noted))
        finally:
            benchmark.send_signal(number)
    _until(lambda: not any(map(_runs, noted)))


def _until(held: Callable[[], bool]) -> None:
    for _ in range(3000):
        if held():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come to that in five minutes")


def _runs(noted: Path) -> bool:
    """Whether the process of a number runs: one that has ended may be waited for by nobody."""
    stat = Path(f"/proc/{noted.read_text()}/stat")
    try:
        return stat.read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_of_recordings_as_many_are_taken_as_are_asked_for(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / "data" / "lamp_on" / name).mkdir(parents=True)
        (tmp_path / "data" / "lamp_on" / name / f"{name}.mcap").touch()
    for count in (3, 2):
        assert len(find_bags(continual.chosen(("lamp_on",), count, tmp_path / "data", tmp_path / "keep"))) == count


def test_half_a_copy_of_a_recording_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bag, files = tmp_path / "data" / "lamp_on" / "a", ("a.mcap", "metadata.yaml")
    bag.mkdir(parents=True)
    for name in files:
        (bag / name).write_text(name)

    def killed(bag: Path, to: Path, **_: bool) -> None:
        to.mkdir(parents=True)
        shutil.copy2(bag / files[0], to)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "copytree", killed)
        continual.chosen(("lamp_on",), 1, tmp_path / "data", tmp_path / "keep")
    (copied,) = find_bags(continual.chosen(("lamp_on",), 1, tmp_path / "data", tmp_path / "keep"))
    assert copied.name == "a" and sorted(file.name for file in copied.iterdir()) == sorted(files)


def test_libero_is_simulated_in_its_own_environment_and_trained_in_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    monkeypatch.setenv("MIDSTREAM_LIBERO", str(python))
    with pytest.raises(InputError, match="make libero"):
        libero.simulator()
    python.touch()
    args = Namespace(data=tmp_path, out=tmp_path, recordings=1, samples=1, episodes=50, processes=1)
    steps = list(libero.steps(args, libero.simulator()))
    for step in steps:
        assert (step.python == python) == step.arguments[0].startswith("sim."), step
        assert step.python in (python, Path(sys.executable))
    assert len({step.name for step in steps}) == len(steps)
    assert libero.SEED % 50 == 0 and libero.SEED >= 2_000_000, "each official state once, never trained on"


@pytest.mark.parametrize("name", libero.recipes())
def test_its_recipes_are_complete(name: str) -> None:
    read = recipe.parse(libero.recipes()[name])
    assert ("execution_state" in read.encoders) == (name == "policy")
    Policy.describe(read, load("libero_goal").spec)


@pytest.mark.parametrize("name", ["switch", "sequence"])
def test_the_plain_policy_of_the_flagship_differs_in_what_switches_teach_alone(name: str) -> None:
    whole, plain = recipe.load(name), recipe.parse(flagship.plain_of(name))
    assert set(whole.encoders) - set(plain.encoders) <= {"execution_state", "committed"}
    assert set(whole.objectives) - set(plain.objectives) == {"execution_estimate"}
    assert (plain.width, plain.mixer, plain.head, plain.training) == (
        whole.width,
        whole.mixer,
        whole.head,
        whole.training,
    )
    spec = Policy.describe(plain, load("tabletop").spec)
    assert not spec.switches and not any("previous" in read for read in spec.reads)
