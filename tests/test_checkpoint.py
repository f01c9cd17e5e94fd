"""Checkpoints: whole at every moment, of one training alone, and what the weights of another run bring along."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from policy import folders, train
from policy.errors import InputError
from policy.learning import checkpoint, recipe
from policy.learning.model import Policy
from policy.learning.normalization import identity_statistics
from policy.robot.contract import load
from policy.spec import Spec
from tests import small

SPEC = load("tabletop").spec


def policy(spec: Spec = SPEC, **encoders: Any) -> Policy:
    """A small policy that is trained towards its past self."""
    raw = small.objective("self_evolution")
    raw["encoders"] |= encoders
    return Policy(recipe.parse(raw), spec, identity_statistics(spec))


def save(run: Path, step: int, of: Policy, **encoders: Any) -> None:
    raw = small.objective("self_evolution")
    raw["encoders"] |= encoders
    means = {name: value.detach() for name, value in of.named_parameters()}
    described = checkpoint.describe(recipe.parse(raw), of.spec) | {"step": step}
    checkpoint.save(run, step, of, means, torch.optim.AdamW(of.parameters()), described)


def names(run: Path) -> list[str]:
    return sorted(path.name for path in run.iterdir())


def test_a_run_that_is_killed_while_a_step_is_saved_again_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, rename = policy(), Path.rename
    save(tmp_path, 5, made)

    def killed(path: Path, target: Path) -> Path:
        if path.name == ".checkpoint.part":
            raise SystemExit
        return rename(path, target)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Path, "rename", killed)
        save(tmp_path, 5, made)
    assert checkpoint.load(tmp_path)[1]["step"] == 5
    save(tmp_path, 5, made)
    assert names(tmp_path) == ["checkpoint-00000005"]
    (tmp_path / "checkpoint-00000005").rename(tmp_path / ".checkpoint-00000005.old")
    save(tmp_path, 6, made)
    assert names(tmp_path) == ["checkpoint-00000006"]


def test_a_folder_of_the_users_own_is_no_checkpoint_and_the_newest_has_the_highest_number(tmp_path: Path) -> None:
    made, own = policy(), tmp_path / "checkpoint-best"
    own.mkdir()
    (own / "notes.txt").write_text("mine")
    assert checkpoint.latest(tmp_path) is None
    for step in (99_999_999, 100_000_000):  # by name the first is the later one
        save(tmp_path, step, made)
        assert checkpoint.load(tmp_path)[1]["step"] == step
    assert names(tmp_path) == ["checkpoint-100000000", "checkpoint-best"] and (own / "notes.txt").exists()


def test_one_training_alone_writes_to_a_run(tmp_path: Path) -> None:
    path = small.write(tmp_path / "small.yaml", small.shrink("chunk"))
    run = tmp_path / "run"
    run.mkdir()
    with folders.claimed(run), pytest.raises(InputError, match=r"another command is writing to .*run.*another folder"):
        train.train(str(path), tmp_path, run, samples=4)
    with pytest.raises(InputError, match="no bag in"):  # it is over, and what is wrong is said
        train.train(str(path), tmp_path, run, samples=4)


def test_a_training_that_began_while_this_one_read_its_bags_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bags, path = small.bags(tmp_path / "bags"), small.write(tmp_path / "small.yaml", small.shrink("states"))
    run, report = tmp_path / "run", train._report
    monkeypatch.setattr(train, "_report", lambda *given: (save(run, 7, policy()), report(*given))[1])
    with pytest.raises(InputError, match=r"another training has written to .*run.*give the command again"):
        train.train(str(path), bags, run, samples=4)
    assert names(run) == [".lock", "checkpoint-00000007"]


def test_a_checkpoint_of_a_later_step_is_not_removed(tmp_path: Path) -> None:
    made = policy()
    for step in (100, 300, 200):
        save(tmp_path, step, made)
    assert names(tmp_path) == ["checkpoint-00000200", "checkpoint-00000300"]


def test_a_past_self_that_does_not_fit_is_not_taken_as_one_that_was_trained(tmp_path: Path) -> None:
    source = policy()
    source.objectives["self_evolution"].steps.fill_(5000.0)
    save(tmp_path, 1, source)
    same, other = policy(), policy(world_queries={})
    checkpoint.warm_start(same, tmp_path)
    assert same.objectives["self_evolution"].steps == 5000
    checkpoint.warm_start(other, tmp_path)
    assert other.objectives["self_evolution"].steps == 0, "with its first step it is the policy itself"


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ({"rate": SPEC.rate / 2}, f"its rate is {SPEC.rate / 2:g} Hz, that of the contract {SPEC.rate:g} Hz"),
        ({"velocities": SPEC.action[:1]}, f"its velocities is {SPEC.action[0]}, that of the contract none"),
        ({"unmeasured": SPEC.state[:1]}, f"its unmeasured is {SPEC.state[0]}, that of the contract none"),
    ],
)
def test_weights_whose_numbers_mean_something_else_are_refused(
    theirs: dict[str, Any], said: str, tmp_path: Path
) -> None:
    save(tmp_path, 1, policy(replace(SPEC, **theirs)))
    with pytest.raises(InputError, match=said):
        checkpoint.warm_start(policy(), tmp_path)


def trained(run: Path) -> tuple[Policy, torch.optim.AdamW]:
    """A policy of one step, saved."""
    made = policy()
    optimizer = torch.optim.AdamW(made.parameters())
    made.loss(small.batch(SPEC))[0].backward()
    optimizer.step()
    described = checkpoint.describe(recipe.parse(small.objective("self_evolution")), SPEC) | {"step": 1}
    checkpoint.save(run, 1, made, {}, optimizer, described)
    return made, optimizer


def without(name: str) -> Callable[[dict[str, torch.Tensor]], Any]:
    return lambda tensors: tensors.pop(name)


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("ema", without("delta_mean"), "it holds no delta_mean;"),
        ("ema", lambda t: t.update(delta_mean=torch.zeros(3)), r"delta_mean of the shape \[3\], expected \[\d+, \d+\]"),
        ("ema", lambda t: t["delta_mean"].fill_(torch.nan), "it holds delta_mean with numbers that are not finite"),
        ("weights", lambda t: t.update(other=torch.zeros(3)), "it holds other, which is not asked for"),
        ("optimizer", without("exp_avg.action_token"), "it holds no exp_avg.action_token"),
        ("optimizer", lambda t: t.update({"step.other": torch.zeros(())}), "step.other, which is not asked for"),
        ("optimizer", lambda t: t.update({"exp_avg.action_token": torch.zeros(3)}), r"of the shape \[3\], expected"),
        ("ema", lambda t: t.clear(), r"it holds no .*; no .*; no .* and \d+ more; train into another --out"),
    ],
)
def test_tensors_that_do_not_fit_are_a_sentence_and_nothing_is_taken(
    file: str, change: Callable[[dict[str, torch.Tensor]], Any], said: str, tmp_path: Path
) -> None:
    """As those of a version whose recipes still read."""
    trained(tmp_path)
    folder = tmp_path / "checkpoint-00000001"
    tensors = load_file(folder / f"{file}.safetensors")
    change(tensors)
    save_file(tensors, folder / f"{file}.safetensors")
    elsewhere = policy()
    before = {name: value.clone() for name, value in elsewhere.state_dict().items()}
    ema = {name: value.detach().clone() for name, value in elsewhere.named_parameters()}
    fresh = torch.optim.AdamW(elsewhere.parameters())
    with pytest.raises(InputError, match=rf"{file}\.safetensors is not of a checkpoint that this version.*{said}"):
        checkpoint.resume(folder, elsewhere, ema, fresh)
    assert all(torch.equal(value, before[name]) for name, value in elsewhere.state_dict().items()) and not fresh.state
    if file == "ema":
        with pytest.raises(InputError, match=said):
            checkpoint.load(tmp_path)


@pytest.mark.filterwarnings("ignore:for .*copying from a non-meta parameter")
def test_the_state_of_an_optimizer_is_where_the_optimizer_wants_it(tmp_path: Path) -> None:
    """As on a GPU, for which a device without memory stands in."""
    made, optimizer = trained(tmp_path)
    with torch.device("meta"):
        elsewhere = policy()
    resumed = torch.optim.AdamW(elsewhere.parameters(), capturable=True)
    checkpoint.resume(tmp_path / "checkpoint-00000001", elsewhere, {}, resumed)
    assert len(resumed.state) == len(optimizer.state) > 0
    for parameter, state in resumed.state.items():
        assert {value.device for value in state.values()} == {parameter.device}
        assert {value.dtype for value in state.values()} == {torch.float32}
    again = torch.optim.AdamW(made.parameters())
    checkpoint.resume(tmp_path / "checkpoint-00000001", made, {}, again)
    for parameter, state in again.state.items():
        assert all(torch.equal(value, optimizer.state[parameter][key]) for key, value in state.items())
