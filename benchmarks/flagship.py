"""models/tabletop from nothing to its card: recordings, switches, two trainings, every evaluation.

    python -m benchmarks.flagship --data data/flagship --out out/flagship

Stop it at any time: the same command goes on where it stopped. `plain` is the policy that the baselines drive: the same
network, words and budget, without what only switches teach; it learns from the demonstrations alone. Both begin with
the weights that a first training learns from the demonstrations.
Evaluation seeds from 2,500,000 on are used here and nowhere else; those from 2,000,000 on were, for a policy that did
not ship.

    demonstrations --> first --+--> plain ----+
          |                    |              +--> evaluations --> card
          +--> switches -------+--> policy ---+
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.steps import Step, run_until
from policy import strict_yaml
from policy.errors import exit_code
from policy.learning.recipe import path_of

PRECISE = ("stack_red_on_blue", "stack_blue_on_red", "lamp_on")  # a centimetre beside it is a failure
SEED = 2_500_000
APART = 100_000  # between the seeds of two evaluations


def steps(args: argparse.Namespace) -> Iterator[Step]:
    """Everything, in order; each command is resumable by itself."""
    demos, switches, out = args.data / "demos", args.data / "switches", args.out
    policy, plain = out / "policy", out / "plain"
    yield Step("record", ["sim.record", "--tasks", "all", "--episodes", args.recordings, "--out", demos])
    precise = ["sim.record", "--tasks", ",".join(PRECISE), "--episodes", args.precise, "--out", demos]
    yield Step("record precise tasks", precise)
    yield Step("switches", ["sim.switches", demos, "--out", switches])
    first, plain_recipe = out / "run_first", out / "plain.yaml"
    for name, recipe, bags, samples in (
        ("first", plain_recipe, demos, args.samples),
        ("plain", plain_recipe, demos, args.finish),
        ("policy", args.recipe, args.data, args.finish),
    ):
        run, begun_with = out / f"run_{name}", [] if name == "first" else ["--weights", first]
        training = ["policy.train", "--recipe", recipe, "--bags", bags, "--samples", samples, "--out", run]
        yield Step(f"train {name}", [*training, *begun_with], processes=args.processes)
        if begun_with:
            yield Step(f"export {name}", ["policy.export", run, "--out", out / name], out / name / "policy.onnx")
    reports = []
    for i, (name, options) in enumerate(evaluations(args.episodes, plain).items()):
        folder = out / name
        seed = SEED + i * APART
        yield Step(name, ["sim.evaluate", policy, *options, "--seed", seed, "--out", folder], folder / "report.json")
        reports.append(folder / "report.json")
    beside = out / "eval_plain"
    asked = ["sim.evaluate", plain, "--episodes", args.episodes, "--seed", SEED, "--out", beside]
    yield Step(beside.name, asked, beside / "report.json")
    card = ["policy.export", out / "run_policy", "--out", out / "model", "--report", reports[0], reports[1]]
    yield Step("card", card, out / "model" / "policy.onnx")


def plain_of(recipe: str) -> dict[str, Any]:
    """A recipe without execution state, previous instruction and committed set-points."""
    raw: dict[str, Any] = strict_yaml.read(path_of(recipe))
    encoders = {k: v for k, v in raw["encoders"].items() if k not in ("execution_state", "committed")}
    if "words" in encoders:
        encoders["words"] = {k: v for k, v in encoders["words"].items() if k != "previous"}
    objectives = {k: v for k, v in raw["objectives"].items() if k != "execution_estimate"}
    return raw | {"encoders": encoders, "objectives": objectives}


def evaluations(episodes: int, plain: Path) -> dict[str, list[Any]]:
    """The options of each, by the name of its folder; `episodes` of each task, four times as many of a phase."""
    few = max(1, episodes // 10)
    return {
        "eval": ["--episodes", episodes],
        "switch": ["--switch", "early,mid,late", "--pairs", "all", "--episodes", 4 * episodes, "--baseline", plain],
        "words": ["--words", "all", "--episodes", episodes, "--films", 0],
        "shift": ["--shift", "all", "--episodes", few, "--films", 0],
        "latency": ["--latency-ms", "0,50,100,200,400", "--schedule", "all", "--episodes", few, "--films", 0],
    }


def main() -> None:
    """Run every step that is not done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flagship", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the bags")
    parser.add_argument("--out", type=Path, required=True, help="folder of runs, models and reports")
    parser.add_argument("--recipe", default="sequence", help="a name in policy/recipes, or a YAML file")
    parser.add_argument("--recordings", type=int, default=240, help="of each task")
    parser.add_argument("--precise", type=int, default=480, help="of tasks where a centimetre decides")
    parser.add_argument("--samples", type=int, default=1_200_000, help="windows of the first training")
    parser.add_argument("--finish", type=int, default=1_800_000, help="windows of each of the two that begin with it")
    parser.add_argument("--episodes", type=int, default=100, help="of each task")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="of a training")
    parser.add_argument("--until", default="", help="stop after this step, such as switches or train plain")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "plain.yaml").write_text(yaml.safe_dump(plain_of(args.recipe), sort_keys=False))
    run_until(list(steps(args)), args.until)


if __name__ == "__main__":
    sys.exit(exit_code(main))
