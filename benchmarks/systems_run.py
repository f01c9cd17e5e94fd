"""One row of the table for one seed: its three policies, each trained, exported and evaluated unless that is done.

<out>/runs/<fingerprint>/       recipe.yaml, run/: a training, which rows share where it is the same
<out>/models/<fingerprint>/     model/, figures.json, episodes.json of a policy
"""

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.systems_data import WITH_FAILURES, world_of
from benchmarks.systems_rollout import evaluate
from benchmarks.systems_rows import Change, Training, Variant, rows
from policy.errors import exit_code
from policy.export import export
from policy.learning import checkpoint, recipe
from policy.learning.model import Policy
from policy.learning.onnx_graph import TOLERANCE
from policy.robot import contract
from policy.train import train
from sim.evaluation_page.written import write_text


def changed(raw: dict[str, Any], change: Change) -> dict[str, Any]:
    """A recipe as a mapping with a change: sections that name another part are replaced, others updated."""
    made = dict(raw)
    for section, values in change.items():
        if values is None:
            made.pop(section, None)
        elif not isinstance(values, Mapping):
            made[section] = values
        elif "name" in values:
            made[section] = dict(values)
        else:
            made[section] = {**(made.get(section) or {}), **values}
            made[section] = {key: value for key, value in made[section].items() if value is not None}
    return made


def recipe_of(training: Training, seed: int) -> dict[str, Any]:
    """The recipe of a training as a mapping."""
    raw = yaml.safe_load((recipe.FOLDER / f"{training.recipe}.yaml").read_text())
    return changed(changed(raw, training.change), {"training": {"seed": seed}})


def recordings(variant: Variant) -> list[str]:
    """The kinds of recordings that a policy learns from, in their order, and what its index is made of."""

    def kind(training: Training) -> str:
        asks = "return_to_go" in recipe_of(training, 0)["encoders"]  # by which failures are told apart, and kept
        return f"{training.data}, successes alone" if training.data in WITH_FAILURES and not asks else training.data

    index = [f"{variant.index} as its index"] if variant.index else []
    return [*map(kind, variant.training.stages), *index]


def fingerprint(*parts: object) -> str:
    """A name that is the same for equal parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


class Runner:
    """What is trained and evaluated, below one folder."""

    def __init__(self, data: Path, out: Path, samples: int, episodes: int) -> None:
        self.data, self.out, self.samples, self.episodes = data, out, samples, episodes

    def trained(self, training: Training, seed: int) -> Path:
        """The folder of a training's run."""
        raw = recipe_of(training, seed)
        begin = None if training.begin is None else self.trained(training.begin, seed)
        folder = self.out / "runs" / fingerprint(raw, training.data, self.samples, str(begin))
        with _locked(folder):
            path = folder / "recipe.yaml"
            path.write_text(yaml.safe_dump(raw, sort_keys=False))
            run = folder / "run"
            if self._samples(run) < self.samples:
                contract_of = world_of(training.data)
                train(str(path), self.data / training.data, run, contract_of, self.samples, weights=begin)
        return run

    def measured(self, variant: Variant, seed: int) -> dict[str, Any]:
        """Figures and episodes of a policy."""
        run = self.trained(variant.training, seed)
        folder = self.out / "models" / fingerprint(str(run.parent.name), asdict(variant), self.episodes)
        with _locked(folder):
            if not (folder / "figures.json").exists():
                begun = time.monotonic()
                figures, world = self._export(run, variant, folder), world_of(variant.training.data)
                records = evaluate(str(folder / "model"), world, variant.asked, self.episodes, seed)
                figures["evaluation_minutes"] = (time.monotonic() - begun) / 60
                write_text(folder / "episodes.json", json.dumps(records))
                write_text(folder / "figures.json", json.dumps(figures, indent=1) + "\n")
            figures = json.loads((folder / "figures.json").read_text())
        figures |= self._spent(variant, seed)
        return {"figures": figures, "episodes": json.loads((folder / "episodes.json").read_text())}

    def _spent(self, variant: Variant, seed: int) -> dict[str, Any]:
        """What a policy has learnt from, by kinds of recordings, and frames and minutes of all its trainings."""
        states = [checkpoint.read_state(_latest(self.trained(one, seed))) for one in variant.training.stages]
        return {
            "recordings": recordings(variant),
            "samples": sum(state["samples"] for state in states),
            "minutes": sum(state["seconds"] for state in states) / 60,
        }

    def _export(self, run: Path, variant: Variant, folder: Path) -> dict[str, Any]:
        """Write the model folder; what is measured of it."""
        state = checkpoint.read_state(_latest(run))
        if variant.exported:  # the same weights under other settings
            run = _copied(run, folder / "run", variant.exported)
        with _every_core() as cores:  # on which an inference is timed
            made = export(run, folder / "model", self.data / (variant.index or variant.training.data))
        return {
            "parity": made["difference"],
            "tolerance": TOLERANCE,
            "step_ms": made["latency"],
            "cores": cores,
            "parameters": made["parameters"],
            "state": {name: list(shape) for name, shape in state["spec"]["memory"].items()},
            "machine": state["machine"],
        }

    @staticmethod
    def _samples(run: Path) -> int:
        found = checkpoint.latest(run)
        return int(checkpoint.read_state(found)["samples"]) if found else 0


def _latest(run: Path) -> Path:
    found = checkpoint.latest(run)
    assert found is not None
    return found


def _copied(run: Path, to: Path, change: Change) -> Path:
    """A run with the same weights whose recipe has a change that alters no weight."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(run, to)
    path = _latest(to) / "state.json"
    state = json.loads(path.read_text())
    for section, values in change.items():
        state["recipe"][section] |= dict(values or {})
    made, robot = recipe.parse(state["recipe"]), contract.load(to / "contract.yaml")
    state |= checkpoint.describe(made, Policy.describe(made, robot.spec))
    path.write_text(json.dumps(state))
    return to


@contextmanager
def _every_core() -> Iterator[int]:
    """On the cores of the command that pinned this process to one; yields how many they are."""
    pinned, every = os.sched_getaffinity(0), os.sched_getaffinity(os.getppid())
    os.sched_setaffinity(0, every)
    try:
        yield len(every)
    finally:
        os.sched_setaffinity(0, pinned)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time works in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Measure one row for one seed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.systems_run", description=__doc__.splitlines()[0])
    parser.add_argument("row", choices=list(rows()))
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=int, required=True)
    parser.add_argument("--episodes", type=int, required=True)
    parser.add_argument("--report", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    runner, row = Runner(args.data, args.out, args.samples, args.episodes), rows()[args.row]
    report = {name: runner.measured(variant, args.seed) for name, variant in row.variants.items()}
    write_text(args.report, json.dumps(report) + "\n")


if __name__ == "__main__":
    sys.exit(exit_code(main))
