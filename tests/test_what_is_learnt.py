"""Which frames and steps a policy learns from: none that it is not to imitate, and all of what was done to its end."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from policy.data.cache import Cache, open_cache
from policy.data.windows import targets
from policy.errors import InputError
from policy.learning import checkpoint, recipe
from policy.learning.batches import Batches
from policy.learning.context_labels import execution_targets
from policy.learning.model import Policy
from policy.learning.normalization import identity_statistics
from policy.learning.recipe import Recipe
from policy.robot.contract import FOLDER, load
from policy.spec import MODES
from policy.train import _check_contract, _check_shares
from tests import demo_bag, small, small_robot
from tests.demo_bag import CONTRACT, START, STEP

SMALL: dict[str, Any] = {
    "width": 16,
    "encoders": {"instruction": {}, "proprioception": {}},
    "mixer": {"name": "transformer", "layers": 1, "heads": 2},
    "head": {"name": "l1", "hidden": 8},
    "training": {"samples": 4, "batch_size": 64, "held_out": 0.0},
}


def made(**changes: Any) -> Recipe:
    return recipe.parse(SMALL | changes)


@pytest.fixture(scope="module")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """40 frames, of which a person was in control of the last ten."""
    folder = tmp_path_factory.mktemp("corrected")
    flags = [(False, START - 1), (True, START + 30 * STEP - STEP // 2)]
    said = [demo_bag.Item("label/correction", demo_bag.make("Bool", on), at) for on, at in flags]
    items = [*demo_bag.demonstration(40, seed=7), *said]
    demo_bag.write(folder / "bag", sorted(items, key=lambda item: item.receive))
    return open_cache(folder, CONTRACT, processes=1)


def test_what_a_head_keeps_was_to_be_imitated(corrected: Cache) -> None:
    training = SMALL["training"] | {"batch_size": 4}
    batches = Batches(corrected, made(head={"name": "retrieval", "hidden": 8, "entries": 40}, training=training))
    pieces = list(batches.spread(40))
    assert len(pieces) > 1 and all(len(piece["state"]) <= 4 for piece in pieces)
    kept = {name: torch.cat([piece[name] for piece in pieces]) for name in ("state", "mask")}
    whole = corrected.imitated & targets(corrected, CONTRACT.horizon)[1].all(1)
    assert 0 < whole.sum() < len(whole) and kept["mask"].all()
    np.testing.assert_array_equal(kept["state"].numpy(), corrected.state[whole])
    assert len(batches.targets(40)[0]) == whole.sum()


def test_what_is_left_out_is_not_learnt_within_a_window(corrected: Cache) -> None:
    mode = np.zeros_like(corrected.mode)
    mode[10:20] = MODES.index("rollback")
    cache = replace(corrected, mode=mode, imitated=np.ones_like(corrected.imitated))
    training = SMALL["training"] | {"ablate": "rollback"}
    batches = Batches(cache, made(memory={"name": "none", "frames": 8, "stride": 4}, training=training))
    batch = batches.at(0)
    left_out = {tuple(state) for state in cache.state[10:20].tolist()}
    inside = np.array([tuple(state) in left_out for state in batch["state"].tolist()])
    assert inside.any() and not batch["mask"].numpy()[inside].any() and batch["mask"].numpy()[~inside].any()


@pytest.mark.parametrize("memory", ["none", "gru"])
def test_frames_that_an_objective_compares_are_a_stride_apart(tmp_path: Path, memory: str) -> None:
    small.bags(tmp_path, 2, 60)
    raw = small.objective("inverse_dynamics")
    raw |= {"memory": {"name": memory, "frames": 4, "stride": 4}, "training": SMALL["training"] | {"batch_size": 80}}
    batches, rows = Batches(open_cache(tmp_path, CONTRACT, processes=1), recipe.parse(raw)), []
    make = batches._make
    batches._make = lambda chosen, *rest: (rows.append(chosen), make(chosen, *rest))[1]  # type: ignore[assignment]
    windows = ~batches.at(0)["is_first"].numpy()[:, 1:]
    assert set(np.diff(rows[0].reshape(-1, 4), axis=1)[windows].tolist()) == {4}


def test_a_frame_that_was_lost_is_no_neighbour(tmp_path: Path) -> None:
    """A window has the nearest frame in its place, which is not a stride away from the others."""
    items = [item for item in demo_bag.demonstration(60, seed=7) if not 31 <= (item.receive - START) // STEP <= 41]
    demo_bag.write(tmp_path / "bag", items)
    raw = small.objective("inverse_dynamics")
    raw |= {"memory": {"name": "none", "frames": 4, "stride": 4}, "training": SMALL["training"] | {"batch_size": 80}}
    batches, rows = Batches(open_cache(tmp_path, CONTRACT, processes=1), recipe.parse(raw)), []
    make, stamps = batches._make, batches.cache.stamps
    batches._make = lambda chosen, *rest: (rows.append(chosen), make(chosen, *rest))[1]  # type: ignore[assignment]
    neighbours = np.concatenate([~batches.at(i)["is_first"].numpy()[:, 1:] for i in range(20)])
    apart = np.diff(stamps[np.concatenate(rows).reshape(-1, 4)], axis=1)
    assert np.diff(stamps).max() > 10 * STEP and neighbours.any() and (~neighbours).any()
    assert (np.abs(apart[neighbours] - 4 * STEP) <= STEP // 2).all()


@pytest.mark.parametrize("between", [False, True])
def test_what_was_done_before_the_next_instruction_was_done(tmp_path: Path, between: bool) -> None:
    """One long recording: the arm has rested for two seconds when the next instruction comes, at once or after none."""
    begin, second = small_robot.START, small_robot.SECOND
    items = small_robot.moving(6, text="pick the cup", still_from=3.0, still_until=5.0)
    if between:
        items.append(("/instruction", small_robot.string(""), begin + round(4.8 * second)))
    items.append(("/instruction", small_robot.string("open the drawer"), begin + 5 * second))
    small_robot.record(tmp_path / "bag", sorted(items, key=lambda item: item[2]))
    cache = open_cache(tmp_path, small_robot.contract(), processes=1)
    first = slice(*cache.bounds[:2])
    assert cache.instructions == ["pick the cup", "open the drawer"] and not cache.incomplete[0]
    assert execution_targets(cache)[first, 1].any() and targets(cache, 8)[1][first].all()


@pytest.mark.parametrize("head", [{"name": "bins", "hidden": 8, "size": 4}, {"name": "bins_offset", "hidden": 8}])
def test_a_new_head_on_other_weights_fits_what_normalises_its_targets(tmp_path: Path, head: dict[str, Any]) -> None:
    spec = load("tabletop").spec
    slow = identity_statistics(spec) | {"delta_std": np.full((spec.horizon, len(spec.action)), 0.02)}
    source, run = Policy(made(), spec, slow), tmp_path / "run"
    means = {name: value.detach() for name, value in source.named_parameters()}
    described = checkpoint.describe(made(), spec) | {"step": 1}
    checkpoint.save(run, 1, source, means, torch.optim.AdamW(source.parameters()), described)
    policy = Policy(made(head=head), spec, identity_statistics(spec))
    assert "head" not in checkpoint.warm_start(policy, run)
    same = Policy(made(), spec, identity_statistics(spec))
    assert "head" in checkpoint.warm_start(same, run)
    np.testing.assert_allclose(same.delta_std, slow["delta_std"], rtol=1e-6)


def test_each_process_gets_as_many_windows() -> None:
    remembers = {"memory": {"name": "gru", "frames": 16, "stride": 4}}
    _check_shares(made(**remembers), 4, True)
    for processes, keeps, changes in (
        (8, False, remembers),
        (2, False, {"training": SMALL["training"] | {"batch_size": 48}} | remembers),
        (1, True, {"memory": {"name": "gru", "frames": 64, "stride": 4}}),
        (3, False, {}),
    ):
        with pytest.raises(InputError, match=r"a batch of .* (change one of them|even number)"):
            _check_shares(made(**changes), processes, keeps)


def test_a_run_does_not_go_on_with_another_contract(tmp_path: Path) -> None:
    robot, path = load("tabletop"), tmp_path / "contract.yaml"
    _check_contract(path, robot)
    path.write_text((FOLDER / "tabletop.yaml").read_text())
    _check_contract(path, robot)
    turned = replace(robot, action=(replace(robot.action[0], scale=-1.0), *robot.action[1:]))
    with pytest.raises(InputError, match="begun with another contract"):
        _check_contract(path, turned)
