"""Training as a user runs it: killed, stopped, resumed, on two processes, and started wrongly."""

import csv
import json
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
from policy.learning import checkpoint, recipe, trainer
from policy.learning.batches import Batches, picture_size
from policy.learning.device import has_bfloat16
from policy.learning.model import Policy
from policy.learning.normalization import identity_statistics
from policy.learning.phrasings import Phrasings
from policy.robot import contract
from policy.spec import MODES
from tests import small

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
STEPS = 10
# A row and a checkpoint every step; each step is slowed down, so that a signal meets a running one.
COMMAND = """
import sys, time
from policy import train
from policy.errors import exit_code
from policy.learning import trainer
trainer.LOG_STEPS, trainer.SAVE_SECONDS = 1, 0.0
learn = trainer.Trainer._learn
trainer.Trainer._learn = lambda *arguments: (time.sleep(0.05), learn(*arguments))[1]
sys.exit(exit_code(train.main))
"""


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.bags(tmp_path_factory.mktemp("bags"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return small.write(tmp_path / "small.yaml", small.shrink("chunk"))


def start(path: Path, bags: Path, out: Path) -> subprocess.Popen:
    arguments = ["--recipe", str(path), "--bags", str(bags), "--out", str(out), "--samples", str(4 * STEPS)]
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


def test_a_killed_and_resumed_run_has_the_losses_of_an_undisturbed_one(bags: Path, path: Path, tmp_path: Path) -> None:
    undisturbed = start(path, bags, tmp_path / "undisturbed")
    out = tmp_path / "killed"
    process = start(path, bags, out)
    wait_for_rows(process, out, 3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert checkpoint.latest(out) is not None and len(rows(out)) < STEPS
    again = start(path, bags, out)
    output, _ = again.communicate(timeout=900)
    assert again.returncode == 0 and "continues from checkpoint-" in output, output
    assert undisturbed.wait(900) == 0
    assert [row["step"] for row in rows(out)] == [str(i) for i in range(1, STEPS + 1)]
    for name in ("loss", "action", "keyframe"):
        np.testing.assert_allclose(
            [float(r[name]) for r in rows(out)], [float(r[name]) for r in rows(tmp_path / "undisturbed")], rtol=1e-5
        )
    for weights in ("weights", "ema"):
        a, b = (checkpoint.load(folder, weights)[0].state_dict() for folder in (out, tmp_path / "undisturbed"))
        for name, value in a.items():
            torch.testing.assert_close(value, b[name], rtol=1e-4, atol=1e-6)
    assert (out / "losses.png").read_bytes().startswith(b"\x89PNG")


def test_sigterm_saves_and_ends_as_what_is_not_done(bags: Path, path: Path, tmp_path: Path) -> None:
    process = start(path, bags, tmp_path / "run")
    wait_for_rows(process, tmp_path / "run", 2)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 130 and "the same command continues" in output, output
    assert "Traceback" not in output
    step = checkpoint.load(tmp_path / "run")[1]["step"]
    assert step < STEPS and rows(tmp_path / "run")[-1]["step"] == str(step)
    assert not list((tmp_path / "run").glob(".checkpoint*"))


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


def test_batches_depend_on_the_step_alone_and_shares_make_the_whole(bags: Path) -> None:
    chosen = recipe.parse(small.shrink("chunk"))
    cache = dataset.open_cache(bags, contract.load("tabletop"))
    batches = Batches(cache, chosen)
    first, again = batches.at(7), Batches(cache, chosen).at(7)
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


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_ablation_trains_on_the_frames_that_it_names(variant: str, tmp_path: Path) -> None:
    raw = small.shrink("switch")
    ablate = changed(VARIANTS[variant])["training"].get("ablate", "")
    raw["training"] |= {"ablate": ablate, "held_out": 0.0}
    cache = dataset.open_cache(small.switches(tmp_path), contract.load("tabletop"))
    batches = Batches(cache, recipe.parse(raw))
    labels = batches.gather(batches.train)["execution_estimate"]
    modes = {MODES[int(mode)] for mode in labels[:, 2:].argmax(1)}
    assert modes == ({"forward"} if ablate == "mode" else set(MODES) - {ablate})
    assert len(batches.train) == sum(ablate in ("", "mode") or MODES[mode] != ablate for mode in cache.mode)
    recipe.parse(changed(VARIANTS[variant]))


def test_training_instructions_lie_between_phrasings_of_the_same_task(bags: Path) -> None:
    cache = dataset.open_cache(bags, contract.load("tabletop"))
    batches = Batches(cache, recipe.parse(small.shrink("chunk")))
    phrasings = batches.phrasings
    rng, episodes = np.random.default_rng(0), np.repeat([0, 2], 50)
    drawn = phrasings.draw("instruction", episodes, np.arange(100), rng)["instruction"]
    a, b, other = (phrasings.pooled[phrasings.sentences.index(text)] for text, _ in small.INSTRUCTIONS)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(drawn[50:], np.repeat(other[None], 50, 0), atol=1e-6)
    assert ((drawn[:50] @ a + drawn[:50] @ b) > 1.5 * (a @ b)).all() and len(np.unique(drawn[:50, 0])) > 10


def test_half_of_what_is_drawn_is_said_in_other_words_that_mean_the_same(bags: Path) -> None:
    cache = dataset.open_cache(bags, contract.load("tabletop"))
    phrasings, recorded = Phrasings(cache, 6), set(cache.instructions)
    for episode, task in enumerate(cache.tasks):
        of_task = [phrasings.sentences[i] for i in phrasings.of_episode[episode]]
        known = {s for s, t in zip(cache.instructions, cache.tasks, strict=True) if t == task}
        made = [s for s in of_task if s not in recorded]
        assert 2 <= len(made) <= 6 and set(of_task) - set(made) == known
        assert len(made) == len(set(made)) == len(of_task) - len(made)
    assert not set(Phrasings(cache).sentences) - recorded, "none where none are asked for"


def test_a_run_from_before_a_recipe_had_a_key_goes_on(bags: Path, path: Path, tmp_path: Path) -> None:
    train.train(str(path), bags, tmp_path / "run", samples=8)
    state = checkpoint.latest(tmp_path / "run") / "state.json"
    earlier = json.loads(state.read_text())
    del earlier["recipe"]["runtime"], earlier["recipe"]["training"]["paraphrases"]
    state.write_text(json.dumps(earlier))
    train.train(str(path), bags, tmp_path / "run", samples=16)
    assert checkpoint.read_state(checkpoint.latest(tmp_path / "run"))["samples"] == 16


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
        (["--out", f"{__file__}/below/run"], "test_train.py is a file, expected a folder"),
    ],
)
def test_a_wrong_command_is_refused_and_writes_nothing(
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
    """A run of a plain policy, to warm-start others from."""
    folder = tmp_path_factory.mktemp("former")
    train.train(str(small.write(folder / "chunk.yaml", small.shrink("chunk"))), bags, folder / "run", samples=8)
    return folder / "run"


def test_a_warm_start_copies_what_two_policies_have_in_common(former: Path) -> None:
    torch.manual_seed(1)
    spec = contract.load("tabletop").spec
    policy = Policy(recipe.parse(small.shrink("switch")), spec, identity_statistics(spec))
    fresh = {name: value.clone() for name, value in policy.state_dict().items()}
    checkpoint.warm_start(policy, former)
    theirs, mine = checkpoint.load(former)[0], policy.state_dict()
    for name, value in theirs.state_dict().items():
        if name != "mixer.position":
            torch.testing.assert_close(mine[name], value)
    new = [name for name in mine if name not in theirs.state_dict()]
    assert {".".join(name.split(".")[:2]) for name in new} == {
        "encoders.execution_state",
        "objectives.execution_estimate",
    }
    assert all(torch.equal(mine[name], fresh[name]) for name in new)
    # each token group takes its own positions along, though others now lie between them
    position, their_position = mine["mixer.position"], theirs.state_dict()["mixer.position"]
    for name, rows in policy.token_slices.items():
        taken = name in theirs.token_slices
        expected = their_position[theirs.token_slices[name]] if taken else fresh["mixer.position"][rows]
        torch.testing.assert_close(position[rows], expected)
    assert policy.token_slices["cameras"] != theirs.token_slices["cameras"]


def test_bins_that_new_data_go_beyond_become_wider(
    bags: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(small.write(tmp_path / "rt1.yaml", small.shrink("systems/rt1")))
    longer = small.bags(tmp_path / "longer", steps=30)
    train.train(path, bags, tmp_path / "first", samples=4)
    for name, data in (("same", bags), ("longer", longer)):
        capsys.readouterr()
        train.train(path, data, tmp_path / name, samples=4, weights=tmp_path / "first")
        assert ("the bins are wider now" in capsys.readouterr().out) == (name == "longer")
    first, same, wider = (checkpoint.load(tmp_path / name)[0].head for name in ("first", "same", "longer"))
    assert torch.equal(same.low, first.low) and torch.equal(same.high, first.high)
    assert (wider.low <= first.low).all() and (wider.high >= first.high).all()
    assert ((wider.low < first.low) | (wider.high > first.high)).any()


def test_a_run_is_warm_started_once_and_records_it_in_its_command(
    bags: Path, former: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small.write(tmp_path / "switch.yaml", small.shrink("switch"))
    command = ["train", "--recipe", str(path), "--bags", str(bags), "--out", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", [*command, "--weights", str(former), "--samples", "4"])
    train.main()
    (begun, state), (source, _) = checkpoint.load(tmp_path / "run", "weights"), checkpoint.load(former)
    assert f"--weights {former}" in state["command"]
    weights, taken = begun.state_dict(), source.state_dict()
    step = 2 * state["recipe"]["training"]["learning_rate"]  # the most that one step of Adam moves a weight
    assert all(
        (weights[name] - value).abs().max() < step
        for name, value in taken.items()
        if weights[name].shape == value.shape
    )
    for again in (["--weights", str(former)], []):
        monkeypatch.setattr(sys, "argv", [*command, *again, "--samples", "8"])
        train.main()  # it continues its own run
        assert checkpoint.load(tmp_path / "run")[1]["step"] == 2
    monkeypatch.setattr(sys, "argv", [*command, "--weights", str(tmp_path / "other"), "--samples", "12"])
    with pytest.raises(InputError, match=r"holds a run with --weights .*former.*, and --weights .*other is given"):
        train.main()


def test_a_warm_start_of_another_robot_or_horizon_is_refused(
    bags: Path, path: Path, former: Path, tmp_path: Path
) -> None:
    (tmp_path / "short.yaml").write_text(contract.find("tabletop").read_text().replace("horizon: 16", "horizon: 12"))
    with pytest.raises(InputError, match="another robot or horizon"):
        train.train(str(path), bags, tmp_path / "run", str(tmp_path / "short.yaml"), samples=4, weights=former)
    assert not (tmp_path / "run").exists()


def test_weights_that_cannot_be_taken_are_refused_before_the_bags_are_decoded(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "open_cache", lambda *_, **__: pytest.fail("bags are decoded"))
    for weights, why in (
        (tmp_path, r"a folder without a checkpoint or a policy\.onnx, expected a run or an exported policy"),
        (tmp_path / "typo", "no folder, and no model's name, expected a run or an exported policy"),
        (Path("typo"), "no folder, and no model's name, expected a run or an exported policy"),
        (Path("tabletop"), r"models/tabletop was exported from another recipe"),  # found by its name
    ):
        with pytest.raises(InputError, match=why):
            train.train(str(path), tmp_path / "bags", tmp_path / "run", samples=4, weights=weights)
    assert not (tmp_path / "run").exists()


def test_a_run_that_has_seen_as_much_as_is_asked_for_has_nothing_to_do(
    bags: Path, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train.train(str(path), bags, tmp_path / "run", samples=8)
    assert "done: 8 samples" in capsys.readouterr().out
    for more, asked in (({"samples": 4}, "4 samples"), ({"samples": 8}, "8 samples"), ({"minutes": 1e-9}, "1e-09 min")):
        train.train(str(path), bags, tmp_path / "run", **more)
        said = capsys.readouterr().out
        assert "nothing to do: 8 samples were seen in " in said and f"and {asked}" in said and "done: 8" not in said


def test_validation_is_of_the_averaged_weights_and_leaves_the_trained_ones(
    bags: Path, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train.train(str(path), bags, tmp_path / "without", samples=16)
    monkeypatch.setattr(trainer, "LOG_STEPS", 1)
    monkeypatch.setattr(trainer, "VALIDATE_STEPS", 2)
    train.train(str(path), bags, tmp_path / "with", samples=16)
    validations = [row["validation"] for row in rows(tmp_path / "with")]
    assert [bool(value) for value in validations] == [False, True, False, True]
    for weights in ("weights", "ema"):
        a, b = (checkpoint.load(tmp_path / run, weights)[0].state_dict() for run in ("without", "with"))
        assert all(torch.equal(value, b[name]) for name, value in a.items())
    policy, chosen = checkpoint.load(tmp_path / "with")[0], recipe.load(path)
    cache = dataset.open_cache(bags, contract.load("tabletop"), picture_size(chosen))
    batches = list(Batches(cache, chosen).validation(trainer.VALIDATE_WINDOWS))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16(torch.device("cpu"))):
        losses = [policy.loss(batch)[1]["action"].item() for batch in batches]
    expected = np.average(losses, weights=[len(batch["state"]) for batch in batches])
    assert float(validations[-1]) == pytest.approx(expected, rel=1e-5)


def test_a_failed_checkpoint_leaves_the_last_one(bags: Path, path: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train.train(str(path), bags, out, samples=4)
    policy, state = checkpoint.load(out)
    files = [file for folder in out.glob("checkpoint-*") for file in folder.iterdir()]
    assert len({file.stat().st_mode for file in files}) == 1, "whoever may read one of its files may read them all"
    (out / ".checkpoint.part").write_text("a file")  # a folder cannot be made in its place, as on a full disk
    with pytest.raises(InputError, match="continues from the last complete checkpoint"):
        checkpoint.save(out, 99, policy, {}, torch.optim.AdamW(policy.parameters()), state)
    assert checkpoint.load(out)[1]["step"] == 1
