"""LIBERO-Goal from nothing to its figures: recordings, switches, two trainings, evaluations with and without a switch.

    python -m benchmarks.libero --data data/libero --out out/libero          after `make libero`

The simulator runs in the benchmark's own environment, training in this one. `plain` learns from the demonstrations
alone, with the same budget; the baselines drive it. Evaluations begin from the official initial states, which nothing
else uses. Stop it at any time: the same command goes on where it stopped.

    demonstrations --------------------------------> plain ----+
          |                                                    +--> evaluations
          +--> switches, replayed and reversed ---> policy ----+
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks import sequence
from benchmarks.peer import ROOT
from benchmarks.steps import Step, run_until
from policy.errors import InputError, exit_code

WORLD = ["--world", "libero_goal"]
SEED = 2_000_000  # a multiple of 50: each of the official states once
BASE = sequence.BASE | {  # a small network for pictures: one scene that looks always the same
    "width": 192,
    "training": sequence.BASE["training"] | {"learning_rate": 6.0e-4, "batch_size": 64},
}


def recipes() -> dict[str, dict[str, Any]]:
    """Name of a policy -> its recipe."""
    instruction, *others = BASE["encoders"].items()
    encoders = dict([instruction, ("execution_state", {"noise": 0.2}), *others])
    objectives = BASE["objectives"] | {"execution_estimate": 0.1}
    return {"plain": BASE, "policy": BASE | {"encoders": encoders, "objectives": objectives}}


def simulator() -> Path:
    """The Python of the benchmark's environment; `InputError` where it is not there."""
    found = Path(os.environ.get("MIDSTREAM_LIBERO") or ROOT / ".venv-libero" / "bin" / "python")
    if not found.exists():
        raise InputError(f"LIBERO is not at {found}: make libero, or name its Python in MIDSTREAM_LIBERO")
    return found


def steps(args: argparse.Namespace, python: Path) -> Iterator[Step]:
    """Everything, in order; each command is resumable by itself."""
    demos, out = args.data / "demos", args.out
    recorded = ["sim.record", *WORLD, "--tasks", "all", "--episodes", args.recordings, "--out", demos]
    yield Step("record", recorded, python=python)
    yield Step("switches", ["sim.switches", *WORLD, demos, "--out", args.data / "switches"], python=python)
    reversed_ = ["policy.synthesise", demos, "--out", args.data / "synthesised", "--contract", "libero_goal"]
    yield Step("synthesise", reversed_)
    for name, bags in (("plain", demos), ("policy", args.data)):
        run, recipe = out / f"run_{name}", ["--recipe", out / f"{name}.yaml", "--contract", "libero_goal"]
        training = ["policy.train", *recipe, "--bags", bags, "--samples", args.samples, "--out", run]
        yield Step(f"train {name}", training, processes=args.processes)
        yield Step(f"export {name}", ["policy.export", run, "--out", out / name], out / name / "policy.onnx")
    for name, (model, options) in evaluations(args.episodes).items():
        asked = ["sim.evaluate", out / model, *WORLD, *options, "--seed", SEED, "--out", out / name]
        asked += ["--baseline", out / "plain"] if "--switch" in options else []
        yield Step(name, asked, out / name / "report.json", python=python)


def evaluations(episodes: int) -> dict[str, tuple[str, list[Any]]]:
    """The model and the options of each, by the name of its folder; `episodes` of each task, four times as many of a
    phase."""
    few = max(1, 2 * episodes // 5)
    return {
        "eval": ("policy", ["--episodes", episodes, "--chains", 0]),
        "eval_plain": ("plain", ["--episodes", episodes, "--chains", 0, "--films", 0]),
        "switch": ("policy", ["--switch", "early,mid,late", "--pairs", "all", "--episodes", 4 * episodes]),
        "latency": ("policy", ["--latency-ms", "0,50,100,200,500", "--episodes", few, "--films", 0]),
    }


def main() -> None:
    """Run every step that is not done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.libero", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the bags")
    parser.add_argument("--out", type=Path, required=True, help="folder of runs, models and reports")
    parser.add_argument("--recordings", type=int, default=50, help="of each task")
    parser.add_argument("--samples", type=int, default=1_700_000, help="windows of each training")
    parser.add_argument("--episodes", type=int, default=50, help="of each task")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="of a training")
    parser.add_argument("--until", default="", help="stop after this step, such as switches or `train plain`")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, recipe in recipes().items():
        (args.out / f"{name}.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    run_until(list(steps(args, simulator())), args.until)


if __name__ == "__main__":
    sys.exit(exit_code(main))
