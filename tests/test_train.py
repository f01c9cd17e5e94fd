"""Training as its user meets it: killed, stopped, resumed, shared by processes, and started wrongly."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.ablations import VARIANTS, changed
from policy import train
from policy.data import cache as dataset
from policy.errors import InputError
from policy.learning import checkpoint, recipe
from policy.learning.batches import Batches
from policy.learning.model import Policy, blank
from policy.robot import contract
from policy.spec import MODES
from tests import small

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
# A row and a checkpoint every step; the model is tiny, so that a step is slowed down to be caught in the act.
COMMAND = """
import sys, time
from policy import train
from policy.errors import exit_code
train.LOG_STEPS, train.SAVE_SECONDS = 1, 0.0
learn = train.Run._learn
train.Run._learn = lambda *arguments: (time.sleep(0.05), learn(*arguments))[1]
sys.exit(exit_code(train.main))
"""


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.bags(tmp_path_factory.mktemp("bags"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return small.write(tmp_path / "small.yaml", small.shrink("chunk"))


def start(path: Path, bags: Path, out: Path) -> subprocess.Popen:
    arguments = ["--recipe", str(path), "--bags", str(bags), "--out", str(out), "--samples", "80"]
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def rows(out: Path) -> list[dict[str, str]]:
    table = out / "losses.csv"
    return list(csv.DictReader(table.open())) if table.exists() else []


def wait_for_rows(process: subprocess.Popen, out: Path, count: int) -> None:
    while len(rows(out)) < count:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)


def test_killed_and_resumed_it_has_the_losses_of_a_calm_run(bags: Path, path: Path, tmp_path: Path) -> None:
    calm = start(path, bags, tmp_path / "calm")
    out = tmp_path / "killed"
    process = start(path, bags, out)
    wait_for_rows(process, out, 5)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert checkpoint.latest(out) is not None and len(rows(out)) < 20
    again = start(path, bags, out)
    said, _ = again.communicate(timeout=900)
    assert again.returncode == 0 and "goes on from checkpoint-" in said, said
    assert calm.wait(900) == 0
    assert [row["step"] for row in rows(out)] == [str(i) for i in range(1, 21)]
    for name in ("loss", "action", "keyframe"):
        np.testing.assert_allclose(
            [float(r[name]) for r in rows(out)], [float(r[name]) for r in rows(tmp_path / "calm")], rtol=1e-5
        )
    for weights in ("weights", "average"):
        a, b = (checkpoint.load(folder, weights)[0].state_dict() for folder in (out, tmp_path / "calm"))
        for name, value in a.items():
            torch.testing.assert_close(value, b[name], rtol=1e-4, atol=1e-6)
    assert (out / "losses.png").read_bytes().startswith(b"\x89PNG")


def test_asked_to_stop_it_saves_and_leaves_cleanly(bags: Path, path: Path, tmp_path: Path) -> None:
    process = start(path, bags, tmp_path / "run")
    wait_for_rows(process, tmp_path / "run", 2)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=900)
    assert process.returncode == 0 and "the same command goes on" in said, said
    step = checkpoint.load(tmp_path / "run")[1]["step"]
    assert step < 20 and rows(tmp_path / "run")[-1]["step"] == str(step)
    assert not list((tmp_path / "run").glob(".*"))


def test_two_processes_share_a_batch(bags: Path, path: Path, former: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        "-m",
        "policy.train",
        "--recipe",
        str(path),
        "--bags",
        str(bags),
        "--samples",
        "12",
        "--out",
        str(tmp_path / "run"),
        "--contract",
        "tabletop",
        "--weights",
        str(former),
    ]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=900, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert checkpoint.load(tmp_path / "run")[1]["processes"] == 2
    assert done.stdout.count("done: 12 samples") == 1


def test_batches_are_a_function_of_the_step_and_shares_make_the_whole(bags: Path) -> None:
    wanted = recipe.parse(small.shrink("chunk"))
    cache = dataset.open_cache(bags, contract.load("tabletop"))
    batches = Batches(cache, wanted)
    first, again = batches.at(7), Batches(cache, wanted).at(7)
    assert all(torch.equal(first[name], again[name]) for name in first)
    ahead = batches.ahead(7)
    assert torch.equal(next(ahead)["actions"], first["actions"])
    assert torch.equal(next(ahead)["actions"], batches.at(8)["actions"])
    ahead.close()
    shares = torch.cat([batches.at(7, process, 2)["state"] for process in (0, 1)])
    assert sorted(shares[:, 0].tolist()) == sorted(first["state"][:, 0].tolist())
    seen = np.concatenate([batches._order(step) for step in range(len(batches.train))])
    assert np.bincount(seen, minlength=len(cache.state))[batches.train].tolist() == [4] * len(batches.train)
    held = set(cache.episode[batches.held_out])
    assert held and held.isdisjoint(cache.episode[batches.train])


@pytest.mark.parametrize("left_out", VARIANTS)
def test_an_ingredient_of_switching_can_be_left_out(left_out: str, tmp_path: Path) -> None:
    raw = small.shrink("switch")
    without = changed(VARIANTS[left_out])["training"].get("without", "")
    raw["training"] |= {"without": without, "held_out": 0.0}
    cache = dataset.open_cache(small.switches(tmp_path), contract.load("tabletop"))
    batches = Batches(cache, recipe.parse(raw))
    modes = {MODES[int(told)] for told in batches.some(batches.train)["execution_estimate"][:, 2:].argmax(1)}
    assert modes == ({"forward"} if without == "mode" else set(MODES) - {without})
    assert len(batches.train) == sum(without in ("", "mode") or MODES[mode] != without for mode in cache.mode)
    recipe.parse(changed(VARIANTS[left_out]))


def test_what_is_said_lies_between_phrasings_of_the_same_task(bags: Path) -> None:
    cache = dataset.open_cache(bags, contract.load("tabletop"))
    batches = Batches(cache, recipe.parse(small.shrink("chunk")))
    said = batches._said(np.repeat([0, 2], 50), np.random.default_rng(0))
    a, b, other = (batches.words[sorted(set(cache.instructions)).index(text)] for text, _ in small.SAID)
    np.testing.assert_allclose(np.linalg.norm(said, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(said[50:], np.repeat(other[None], 50, 0), atol=1e-6)
    assert ((said[:50] @ a + said[:50] @ b) > 1.5 * (a @ b)).all() and len(np.unique(said[:50, 0])) > 10


def test_the_run_of_another_recipe_is_left_alone(bags: Path, path: Path, tmp_path: Path) -> None:
    train.train(str(path), bags, tmp_path / "run", samples=4)
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / "run").rglob("*")}
    other = small.write(tmp_path / "other.yaml", small.shrink("chunk") | {"width": 32})
    with pytest.raises(InputError, match=r"another recipe \(it differs in width\)"):
        train.train(str(other), bags, tmp_path / "run", samples=4)
    assert before == {f: f.stat().st_mtime_ns for f in (tmp_path / "run").rglob("*")}


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["--bags", "nowhere"], "nowhere"),
        (["--recipe", "chnk"], "did you mean 'chunk'"),
        (["--samples", "-1"], "above 0"),
        (["--contract", "tabletpo"], "did you mean 'tabletop'"),
    ],
)
def test_a_wrong_command_says_so_and_writes_nothing(
    arguments: list[str],
    expected: str,
    bags: Path,
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["train", "--recipe", str(path), "--bags", str(bags), "--out", str(tmp_path / "run"), *arguments]
    )
    assert train.exit_code(train.main) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def former(bags: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a plain policy, to start others from."""
    folder = tmp_path_factory.mktemp("former")
    train.train(str(small.write(folder / "chunk.yaml", small.shrink("chunk"))), bags, folder / "run", samples=8)
    return folder / "run"


def test_a_start_takes_over_what_two_policies_have_in_common(former: Path) -> None:
    torch.manual_seed(1)
    spec = contract.load("tabletop").spec
    policy = Policy(recipe.parse(small.shrink("switch")), spec, blank(spec))
    fresh = {name: value.clone() for name, value in policy.state_dict().items()}
    checkpoint.start(former, policy)
    theirs, mine = checkpoint.load(former)[0], policy.state_dict()
    for name, value in theirs.state_dict().items():
        if name != "mixer.position":
            torch.testing.assert_close(mine[name], value)
    new = [name for name in mine if name not in theirs.state_dict()]
    assert {".".join(name.split(".")[:2]) for name in new} == {"encoders.execution", "objectives.execution_estimate"}
    assert all(torch.equal(mine[name], fresh[name]) for name in new)
    # each group of tokens takes its own position along, though others now stand between them
    for name, place in policy.places.items():
        expected = (
            theirs.mixer.position[theirs.places[name]] if name in theirs.places else fresh["mixer.position"][place]
        )
        torch.testing.assert_close(policy.mixer.position[place], expected)
    assert policy.places["cameras"] != theirs.places["cameras"]


def test_a_run_starts_from_another_once_and_its_command_says_so(
    bags: Path, former: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small.write(tmp_path / "switch.yaml", small.shrink("switch"))
    command = ["train", "--recipe", str(path), "--bags", str(bags), "--out", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", [*command, "--weights", str(former), "--samples", "4"])
    train.main()
    (begun, state), (source, _) = checkpoint.load(tmp_path / "run", "weights"), checkpoint.load(former)
    assert f"--weights {former}" in state["command"]
    weights, taken = begun.state_dict(), source.state_dict()
    step = 2 * state["recipe"]["training"]["rate"]  # no more than this in the one step of Adam
    assert all(
        (weights[name] - value).abs().max() < step
        for name, value in taken.items()
        if weights[name].shape == value.shape
    )
    monkeypatch.setattr(sys, "argv", [*command, "--weights", str(tmp_path / "gone"), "--samples", "8"])
    train.main()  # it goes on from itself
    assert checkpoint.load(tmp_path / "run")[1]["step"] == 2


def test_a_start_that_does_not_fit_is_refused(bags: Path, path: Path, former: Path, tmp_path: Path) -> None:
    (tmp_path / "short.yaml").write_text(contract.find("tabletop").read_text().replace("horizon: 16", "horizon: 8"))
    with pytest.raises(InputError, match="another robot or horizon"):
        train.train(str(path), bags, tmp_path / "run", str(tmp_path / "short.yaml"), samples=4, weights=former)
    with pytest.raises(InputError, match="no checkpoint in"):
        train.train(str(path), bags, tmp_path / "run", samples=4, weights=tmp_path)
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_that_fails_leaves_the_last_one(bags: Path, path: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train.train(str(path), bags, out, samples=4)
    policy, state = checkpoint.load(out)
    (out / ".checkpoint.part").write_text("in the way")  # stands for a disk that refuses to take it
    with pytest.raises(InputError, match="goes on from the last whole checkpoint"):
        checkpoint.save(out, 99, policy, {}, torch.optim.AdamW(policy.parameters()), state)
    assert checkpoint.load(out)[1]["step"] == 1
