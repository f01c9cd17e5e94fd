"""One more task onto weights that are there: from a run or an exported policy, with what is not to be forgotten."""

from pathlib import Path

import numpy as np
import pytest
import torch

from policy import train
from policy.data.cache import open_cache
from policy.errors import InputError
from policy.export import export
from policy.learning import checkpoint, exported_weights, instruction_classifier, recipe, sentence_variants
from policy.learning.batches import Batches, _split
from policy.learning.model import Policy
from policy.learning.normalization import identity_statistics
from policy.learning.onnx_graph import write_graph
from policy.robot.contract import load
from policy.running.session import Session
from tests import demo_bag, small

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("classifier_once")]
SPEC = load("tabletop").spec


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five recordings of what is done already."""
    return small.bags(tmp_path_factory.mktemp("old"), 5)


@pytest.fixture(scope="module")
def run(old: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train.train(str(small.write(folder / "small.yaml", small.shrink("chunk"))), old, folder / "run", samples=8)
    return folder / "run"


@pytest.fixture(scope="module")
def model(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "model"
    export(run, folder)
    return folder


def test_half_of_each_batch_is_of_what_is_kept(old: Path, tmp_path: Path) -> None:
    new = small.bags(tmp_path / "new", 2)
    cache = open_cache(new, load("tabletop"), 16, keep=old)
    assert sorted(cache.bags) == sorted(
        [
            *open_cache(new, load("tabletop"), 16).bags,
            *(f"{old.name}/{b}" for b in open_cache(old, load("tabletop"), 16).bags),
        ]
    )
    assert cache.kept.tolist() == [name.startswith(f"{old.name}/") for name in cache.bags] and cache.kept.sum() == 5
    raw = small.shrink("chunk")
    raw["training"] |= {"batch_size": 6, "held_out": 0.0}
    batches = Batches(cache, recipe.parse(raw))
    seen = [cache.kept[cache.episode[batches._order(step)]] for step in range(20)]
    assert all(kept.sum() == 3 for kept in seen)
    everything = np.concatenate([batches._order(step) for step in range(20)])
    assert set(everything) == set(batches.train), "all of it is seen in turn"
    alone = Batches(open_cache(new, load("tabletop"), 16), recipe.parse(raw))
    assert len(set(np.concatenate([alone._order(step) for step in range(3)]))) == min(18, len(alone.train))


def test_recordings_to_keep_that_give_nothing_to_train_on_are_refused(old: Path, tmp_path: Path) -> None:
    new, failed = small.bags(tmp_path / "new", 2), small.bags(tmp_path / "failed", 1)
    cache = open_cache(new, load("tabletop"), 16, keep=failed)
    raw = small.shrink("chunk")
    for seed in range(30):
        raw["training"] |= {"seed": seed, "held_out": 0.3}
        if not _split(cache, 0.3, seed)[1][cache.kept].any():  # all of it is held out
            with pytest.raises(InputError, match=r"nothing to train on in what is to be kept.*lower held_out"):
                Batches(cache, recipe.parse(raw))
            break
    else:
        pytest.fail("no seed holds out what is to be kept")
    (failed / "bags.yaml").write_text("episode_0: {success: false}\n")
    with pytest.raises(InputError, match=r"the bags of .*failed hold no whole frame: .*; record others"):
        open_cache(new, load("tabletop"), 16, keep=failed)
    with pytest.raises(InputError, match=r"the bags of .*failed hold no whole frame"):
        open_cache(failed, load("tabletop"), 16, keep=old)


def test_an_exported_policy_is_begun_from_as_its_run_is(run: Path, model: Path) -> None:
    trained, _ = checkpoint.load(run)
    for source in (run, model):
        policy = Policy(trained_recipe(run), SPEC, identity_statistics(SPEC))
        checkpoint.warm_start(policy, source)
        values, theirs = policy.state_dict(), trained.state_dict()
        differing = {name for name, value in values.items() if not torch.equal(value, theirs[name])}
        assert {name.split(".")[0] for name in differing} <= ({"objectives"} if source == model else set())


@pytest.mark.parametrize("name", [pytest.param("switch", marks=pytest.mark.heavy), "sequence"])
def test_the_graph_holds_all_that_it_reads_under_its_name(name: str, tmp_path: Path) -> None:
    policy = Policy(recipe.parse(small.shrink(name)), SPEC, identity_statistics(SPEC))
    with torch.no_grad():
        for value in policy.state_dict().values():
            value += torch.rand_like(value)
        twins = policy.encoders["execution_state"].std, policy.encoders["proprioception"].std
        twins[0].copy_(twins[1])  # as after training: of two that are alike the graph holds one
    write_graph(policy, tmp_path / exported_weights.FILE)
    policy.spec.save(tmp_path / "spec.json")
    other = Policy(recipe.parse(small.shrink(name)), SPEC, identity_statistics(SPEC))
    checkpoint.warm_start(other, tmp_path)
    values, theirs = other.state_dict(), policy.state_dict()
    assert {name for name in values if not torch.equal(values[name], theirs[name])} <= {
        name for name in values if name.startswith("objectives.keyframe")
    }


def test_the_exported_policy_knows_what_it_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would refuse every instruction of before."""
    monkeypatch.setattr(instruction_classifier, "EPOCHS", 1)  # what else it refuses is not looked at
    monkeypatch.setattr(sentence_variants, "ROUNDS", 1)
    old, new, kept = small.switches(tmp_path / "old"), tmp_path / "new", tmp_path / "kept"
    for i in range(2):
        lamp = demo_bag.demonstration(20, seed=i, text="turn the lamp on", task="lamp_on")
        demo_bag.write(new / f"lamp_{i}", lamp)
    path = str(small.write(tmp_path / "small.yaml", small.shrink("switch")))
    train.train(path, old, tmp_path / "before", samples=4)
    train.train(path, new, tmp_path / "after", samples=4, weights=tmp_path / "before", keep=old)
    old.rename(kept)
    with pytest.raises(InputError, match=r"no longer at .*old.*--keep"):
        export(tmp_path / "after", tmp_path / "model")
    export(tmp_path / "after", tmp_path / "model", keep=kept)
    taught = {text for _, text in Session(tmp_path / "model", 1, "cpu").taught}
    assert taught == {"turn the lamp on", *(text for text, _ in small.INSTRUCTIONS)}


def trained_recipe(run: Path) -> recipe.Recipe:
    folder = checkpoint.latest(run)
    assert folder is not None
    return recipe.parse(checkpoint.read_state(folder)["recipe"])


def test_what_is_kept_is_told_from_a_folder_of_the_same_name(old: Path, tmp_path: Path) -> None:
    small.bags(tmp_path / "new" / old.name, 2)
    cache = open_cache(tmp_path / "new", load("tabletop"), 16, keep=old)
    assert len(set(cache.bags)) == 7 and cache.kept.tolist() == [False] * 2 + [True] * 5


def test_the_command_takes_both(old: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new, path = small.bags(tmp_path / "new", 2), small.write(tmp_path / "small.yaml", small.shrink("chunk"))
    arguments = ["train", "--recipe", path, "--bags", new, "--out", tmp_path / "run", "--samples", "4"]
    monkeypatch.setattr("sys.argv", [*map(str, arguments), "--weights", str(model), "--keep", str(old)])
    train.main()
    state = checkpoint.load(tmp_path / "run")[1]
    assert f"--weights {model} --keep {old}" in state["command"] and state["episodes"] == 7


def test_what_does_not_fit_is_refused(old: Path, model: Path, tmp_path: Path) -> None:
    path = small.write(tmp_path / "small.yaml", small.shrink("chunk"))
    with pytest.raises(InputError, match="give --weights as well"):
        train.train(str(path), old, tmp_path / "run", samples=4, keep=old)
    other = small.write(tmp_path / "other.yaml", small.shrink("chunk") | {"width": 48})
    with pytest.raises(InputError, match="was exported from another recipe"):
        train.train(str(other), old, tmp_path / "run", samples=4, weights=model)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "policy.onnx").write_bytes((model / "policy.onnx").read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot be read"):
        train.train(str(path), old, tmp_path / "run", samples=4, weights=tmp_path / "torn")
    assert not (tmp_path / "run").exists()
