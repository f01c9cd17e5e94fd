"""Checkpoints: a folder of safetensors and one JSON, written aside and renamed, so that it is complete or absent.

<run>/checkpoint-<step>/
    weights.safetensors     as trained, normalisation included
    ema.safetensors         their exponential moving average, which is what is evaluated and exported
    optimizer.safetensors   exp_avg.<parameter>, exp_avg_sq.<parameter>, step.<parameter>
    state.json              recipe, spec, step, data and time spent
"""

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as packed
from torch import Tensor

from policy.errors import InputError
from policy.learning import exported_weights
from policy.learning import recipe as recipes
from policy.learning.model import Policy
from policy.learning.normalization import identity_statistics
from policy.learning.recipe import Recipe
from policy.spec import Spec

MOMENTS = ("exp_avg", "exp_avg_sq", "step")
NAME = re.compile(r"checkpoint-(\d+)|\.checkpoint-(\d+)\.old")  # the second while another takes its place


def save(
    run: Path,
    step: int,
    policy: Policy,
    ema: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
) -> None:
    """Write the checkpoint of a step, then remove those of earlier steps; `InputError` when the disk is full."""
    final, aside = run / f"checkpoint-{step:08d}", run / ".checkpoint.part"
    old = run / f".{final.name}.old"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        weights = {name: value.contiguous() for name, value in policy.state_dict().items()}
        averaged = weights | {name: value.contiguous() for name, value in ema.items()}
        tensors = {"weights": weights, "ema": averaged, "optimizer": _moments(policy, optimizer)}
        for name, values in tensors.items():  # save_file's files can be read by their owner alone
            (aside / f"{name}.safetensors").write_bytes(packed(values))
        (aside / "state.json").write_text(json.dumps(state, indent=1) + "\n")
        if final.exists():  # at every moment one of the two is there
            shutil.rmtree(old, ignore_errors=True)
            final.rename(old)
        aside.rename(final)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise InputError(
            f"cannot write {final} ({error}); free space on the disk and run the same command "
            "again: it continues from the last complete checkpoint"
        ) from None
    for earlier, folder in _found(run):
        if earlier < step or folder == old:
            shutil.rmtree(folder)


def latest(run: Path) -> Path | None:
    """The newest checkpoint of a run, None if there is none."""
    found = _found(run)
    return found[-1][1] if found else None


def _found(run: Path) -> list[tuple[int, Path]]:
    """Its checkpoints and their steps, the newest last; other names are the user's own."""
    matches = [(NAME.fullmatch(path.name), path) for path in (run.iterdir() if run.is_dir() else ())]
    found = [(int(match[1] or match[2]), match[2] is None, path) for match, path in matches if match and path.is_dir()]
    return [(step, path) for step, _, path in sorted(found)]


def read_state(folder: Path) -> dict[str, Any]:
    """The state.json of a checkpoint; `InputError` if it cannot be read."""
    try:
        state: dict[str, Any] = json.loads((folder / "state.json").read_text())
        Spec.parse(state["spec"]), int(state["step"])
        recipe = recipes.dump(recipes.parse(state["recipe"]))  # with the keys that recipes had not when it was written
        state["recipe"] = json.loads(json.dumps(recipe))
        return state
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder} is not a checkpoint that this version reads ({type(error).__name__}: "
            f"{error}); train into another --out"
        ) from None


def describe(recipe: Recipe, spec: Spec) -> dict[str, Any]:
    """Recipe and spec as they read back from state.json."""
    described: dict[str, Any] = json.loads(json.dumps({"recipe": recipes.dump(recipe), "spec": asdict(spec)}))
    return described


def load(run: Path, weights: str = "ema") -> tuple[Policy, dict[str, Any]]:
    """The policy of a run's newest checkpoint, for use, and its state; `InputError` if it has none that fits.

    `weights` is "ema", or "weights" for those as trained.
    """
    folder = latest(run)
    if folder is None:
        raise InputError(f"no checkpoint in {run}; train one with `python -m policy.train --out {run} ...`")
    state = read_state(folder)
    spec = Spec.parse(state["spec"])
    policy = Policy(recipes.parse(state["recipe"]), spec, identity_statistics(spec))
    policy.load_state_dict(_fitting(folder / f"{weights}.safetensors", _shapes(policy)))
    return policy.eval(), state


@torch.no_grad()
def resume(folder: Path, policy: Policy, ema: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
    """Restore weights, moving average and optimizer as `save` found them; `InputError` where they do not fit."""
    shapes, trained = _shapes(policy), _trained(policy)
    weights, saved = (_fitting(folder / f"{name}.safetensors", shapes) for name in ("weights", "ema"))
    moments = _tensors(folder / "optimizer.safetensors")
    begun = {name.partition(".")[2] for name in moments}  # what no loss of the recipe reads has none
    expected = {f"{key}.{name}": p.shape for name, p in trained if name in begun for key in ("exp_avg", "exp_avg_sq")}
    expected |= {f"step.{name}": torch.Size() for name, _ in trained if name in begun}
    _check_fit(folder / "optimizer.safetensors", moments, expected)
    policy.load_state_dict(weights)
    for name, value in ema.items():
        value.copy_(saved[name])
    state, parts = {}, optimizer.state_dict()
    number = {p: i for i, p in enumerate(p for group in optimizer.param_groups for p in group["params"])}
    for name, parameter in trained:
        if f"step.{name}" in moments:
            state[number[parameter]] = {"step": moments[f"step.{name}"]} | {
                # In the parameter's memory layout (channels_last), which the fused step assumes.
                key: torch.empty_like(parameter).copy_(moments[f"{key}.{name}"])
                for key in ("exp_avg", "exp_avg_sq")
            }
    optimizer.load_state_dict(parts | {"state": state})  # it knows on which device the fused step wants its count


@torch.no_grad()
def warm_start(policy: Policy, source: Path) -> set[str]:
    """Copy into a policy what it has in common with another run's, normalisation included; the parts that are whole.

    Each token group takes its own learned positions along. `source` may also be an exported policy, of the same recipe.
    `InputError` if it is neither, if robot or horizon differ, or the exported policy's recipe.
    """
    if not (source / exported_weights.FILE).exists() and latest(source) is None:
        got = "a folder without a checkpoint or a policy.onnx" if source.is_dir() else "no folder, and no model's name"
        raise InputError(f"--weights {source}: got {got}, expected a run or an exported policy")
    own = policy.state_dict()
    if (source / exported_weights.FILE).exists():
        taken = _exported(own, source)
        _check_robot(policy.spec, Spec.load(source / "spec.json"), source)
        policy.load_state_dict(own | taken)
        return _whole_parts(own, taken)
    other, _ = load(source)
    _check_robot(policy.spec, other.spec, source)
    theirs = other.state_dict()
    common = _alike(own, theirs, source)
    for name in policy.mixer.positions:
        name = f"mixer.{name}"
        if name in theirs and own[name].shape[1:] == theirs[name].shape[1:]:
            common[name] = _moved(own[name], theirs[name], policy.token_slices, other.token_slices)
    policy.load_state_dict(own | common)
    return _whole_parts(own, common)


def _whole_parts(own: Iterable[str], taken: Iterable[str]) -> set[str]:
    """The parts, such as head, of which all tensors were taken."""
    parts = {name.split(".")[0] for name in own}
    return parts - {name.split(".")[0] for name in set(own) - set(taken)}


def _check_robot(own: Spec, theirs: Spec, source: Path) -> None:
    """`InputError` unless the same numbers in the same order mean the same: what normalises one of them is kept."""
    for kind in ("state", "action", "velocities", "unmeasured", "rate"):
        mine, other = (
            f"{value:g} Hz" if kind == "rate" else ", ".join(value) or "none"
            for value in (getattr(own, kind), getattr(theirs, kind))
        )
        if mine != other:
            raise InputError(
                f"{source} holds a policy of another robot: its {kind} is {other}, that of the contract {mine}; start "
                "from one of the same contract"
            )


def _alike(own: dict[str, Tensor], theirs: dict[str, Tensor], source: Path) -> dict[str, Tensor]:
    """Of their tensors those that fit; those of an objective only where all of it does, as they belong together."""
    common = {name: value for name, value in theirs.items() if name in own and own[name].shape == value.shape}
    torn = {_objective(name) for name in own if name not in common} - {None}
    common = {name: value for name, value in common.items() if _objective(name) not in torn}
    if "delta_mean" not in common:
        raise InputError(f"{source} holds a policy of another robot or horizon; start from one of the same contract")
    return common


def _objective(name: str) -> str | None:
    """The objective that a tensor belongs to, None for all others."""
    return name.split(".")[1] if name.startswith("objectives.") else None


def _exported(own: dict[str, Tensor], source: Path) -> dict[str, Tensor]:
    """The weights of an exported policy; what only training reads is not in it, and begins anew."""
    common = _alike(own, exported_weights.read(source), source)
    lacking = [name for name in own if name not in common and not name.startswith("objectives.")]
    if lacking:
        raise InputError(
            f"{source} was exported from another recipe, or as int8 (it lacks {len(lacking)} of {len(own)} tensors: "
            f"{', '.join(lacking[:3])}, ...); give the recipe that it was trained with, or the folder of its run"
        )
    return common


def _moved(own: Tensor, theirs: Tensor, places: dict[str, slice], their_places: dict[str, slice]) -> Tensor:
    """Rows of one policy's tokens, those of the groups that another has taken from there."""
    rows = own.clone()
    for name, place in places.items():
        if name in their_places and len(rows[place]) == len(theirs[their_places[name]]):
            rows[place] = theirs[their_places[name]]
    return rows


def _shapes(policy: Policy) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in policy.state_dict().items()}


def _tensors(path: Path) -> dict[str, Tensor]:
    """A safetensors file; `InputError` if it cannot be read."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read ({error}); remove its folder to continue without it") from None


def _fitting(path: Path, expected: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """A safetensors file; `InputError` if it cannot be read, or holds other tensors than these of these shapes."""
    found = _tensors(path)
    _check_fit(path, found, expected)
    return found


def _check_fit(path: Path, found: dict[str, Tensor], expected: Mapping[str, torch.Size]) -> None:
    """`InputError` unless a file holds these tensors of these shapes, finite."""
    wrong = [f"no {name}" for name in expected.keys() - found.keys()]
    wrong += [f"{name}, which is not asked for" for name in found.keys() - expected.keys()]
    wrong += [
        f"{name} of the shape {list(found[name].shape)}, expected {list(shape)}"
        for name, shape in expected.items()
        if name in found and found[name].shape != shape
    ]
    wrong += [
        f"{name} with numbers that are not finite"
        for name, value in found.items()
        if value.is_floating_point() and not torch.isfinite(value).all()
    ]
    if wrong:
        raise InputError(
            f"{path} is not of a checkpoint that this version reads: it holds {'; '.join(sorted(wrong)[:3])}"
            f"{f' and {len(wrong) - 3} more' if len(wrong) > 3 else ''}; train into another --out"
        )


def _moments(policy: Policy, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{key}.{name}": optimizer.state[parameter][key].contiguous()
        for name, parameter in _trained(policy)
        if parameter in optimizer.state  # what no loss of the recipe reads has none
        for key in MOMENTS
    }


def _trained(policy: Policy) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, parameter) for name, parameter in policy.named_parameters() if parameter.requires_grad]
