"""Checkpoints: a folder of safetensors and one JSON, written aside and renamed: it is whole or absent.

<run>/checkpoint-<step>/
    weights.safetensors     as trained, normalisation included
    average.safetensors     their moving average, which is what is evaluated and exported
    optimizer.safetensors   moment.<parameter>, ...
    state.json              recipe, spec, step, what was spent
"""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from policy.errors import InputError
from policy.learning import recipe as recipes
from policy.learning.model import Policy, blank
from policy.learning.recipe import Recipe
from policy.spec import Spec

MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def save(
    run: Path,
    step: int,
    policy: Policy,
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
) -> None:
    """Write the checkpoint of a step, then remove the older ones; `InputError` when the disk fills."""
    final, aside = run / f"checkpoint-{step:08d}", run / ".checkpoint.part"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        weights = {name: value.contiguous() for name, value in policy.state_dict().items()}
        save_file(weights, aside / "weights.safetensors")
        save_file(
            weights | {name: value.contiguous() for name, value in average.items()}, aside / "average.safetensors"
        )
        save_file(_moments(policy, optimizer), aside / "optimizer.safetensors")
        (aside / "state.json").write_text(json.dumps(state, indent=1) + "\n")
        if final.exists():
            shutil.rmtree(final)
        aside.rename(final)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise InputError(
            f"cannot write {final} ({error}); free space on the disk and run the same command "
            "again: it goes on from the last whole checkpoint"
        ) from None
    for old in run.glob("checkpoint-*"):
        if old != final:
            shutil.rmtree(old)


def latest(run: Path) -> Path | None:
    """The newest checkpoint of a run, None if there is none."""
    return max(run.glob("checkpoint-*"), default=None, key=lambda path: path.name)


def read_state(folder: Path) -> dict[str, Any]:
    """What a checkpoint says of itself; `InputError` if it cannot be read."""
    try:
        state = json.loads((folder / "state.json").read_text())
        recipes.parse(state["recipe"]), spec_of(state), int(state["step"])
        return state
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder} is not a checkpoint that this version reads ({type(error).__name__}: "
            f"{error}); train into another --out"
        ) from None


def spec_of(state: dict[str, Any]) -> Spec:
    """The spec that a checkpoint was trained for."""
    raw = state["spec"]
    return Spec(
        cameras={name: (int(h), int(w)) for name, (h, w) in raw["cameras"].items()},
        state=tuple(raw["state"]),
        action=tuple(raw["action"]),
        rate=float(raw["rate"]),
        horizon=int(raw["horizon"]),
        text=int(raw["text"]),
        switches=bool(raw["switches"]),
    )


def describe(recipe: Recipe, spec: Spec) -> dict[str, Any]:
    """The part of a checkpoint's state that says what it is of, as it reads back from JSON."""
    return json.loads(json.dumps({"recipe": recipes.dump(recipe), "spec": asdict(spec)}))


def load(run: Path, weights: str = "average") -> tuple[Policy, dict[str, Any]]:
    """The policy of a run's newest checkpoint, for use, and its state; `InputError` if it has none."""
    folder = latest(run)
    if folder is None:
        raise InputError(f"no checkpoint in {run}; train one with `python -m policy.train --out {run} ...`")
    state = read_state(folder)
    spec = spec_of(state)
    policy = Policy(recipes.parse(state["recipe"]), spec, blank(spec))
    policy.load_state_dict(tensors(folder / f"{weights}.safetensors"))
    return policy.eval(), state


@torch.no_grad()
def resume(folder: Path, policy: Policy, average: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
    """Put weights, moving average and optimizer back as `save` found them."""
    policy.load_state_dict(tensors(folder / "weights.safetensors"))
    saved = tensors(folder / "average.safetensors")
    for name, value in average.items():
        value.copy_(saved[name])
    moments = tensors(folder / "optimizer.safetensors")
    for name, parameter in policy.named_parameters():
        optimizer.state[parameter] = {"step": moments[f"step.{name}"]} | {
            # Laid out in memory as the parameter is (channels_last), which the fused step takes for granted.
            key: torch.empty_like(parameter).copy_(moments[f"{key}.{name}"])
            for key in ("exp_avg", "exp_avg_sq")
        }


@torch.no_grad()
def start(run: Path, policy: Policy) -> None:
    """Take over from another run's policy what the two have in common, the normalisation too."""
    other, _ = load(run)
    mine, theirs = policy.state_dict(), other.state_dict()
    taken = {name: value for name, value in theirs.items() if name in mine and mine[name].shape == value.shape}
    if "delta_mean" not in taken:
        raise InputError(f"{run} holds a policy of another robot or horizon; start from one of the same contract")
    place, former = policy.mixer.position, other.mixer.position
    for name, rows in policy.places.items():
        if name in other.places:
            place[rows] = former[other.places[name]]
    policy.load_state_dict(mine | taken | {"mixer.position": place})


def tensors(path: Path) -> dict[str, Tensor]:
    """A safetensors file; `InputError` if it cannot be read."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read ({error}); remove its folder to go on without it") from None


def _moments(policy: Policy, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{key}.{name}": optimizer.state[parameter][key].contiguous()
        for name, parameter in policy.named_parameters()
        for key in MOMENTS
    }
