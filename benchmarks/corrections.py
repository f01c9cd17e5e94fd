"""What corrections are worth: a policy before and after it has learnt from them, on the same unseen starts.

    python -m benchmarks.corrections --model out/order_words/model --recipe out/order_words/recipe.yaml \
        --bags data/sequence/order --task stack_red_on_blue --out out/corrections

A scripted operator takes over where the policy fails at `--task` (sim.correct). The policy then trains on the
corrections, half of each batch from what it learnt before. Every task of `--bags` is evaluated before and after, and
compared start by start (McNemar's exact test). Existing results are kept, and the same command continues.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.study import Report, run_steps
from policy.data.bag_files import find_bags
from policy.errors import exit_code
from sim.switch_evaluation.paired import exact_p

SEED = 1_740_000


def evaluation(model: Path, tasks: list[str], folder: Path, args: argparse.Namespace) -> Report:
    """Success of a model at each task."""
    options = ["--tasks", ",".join(tasks), "--chains", 0, "--episodes", args.episodes, "--seed", SEED, "--films", 0]
    steps = [["sim.evaluate", model, *options, "--out", folder]]
    return run_steps(f"evaluation of {model}", folder, steps, folder / "report.json")


def learn(args: argparse.Namespace) -> Path:
    """The model that has learnt from the corrections."""
    out: Path = args.out
    corrections, run, model = (out / name for name in ("corrections", "run", "model"))
    of = ["--tasks", args.task, "--corrections", args.corrections, "--out", corrections]
    training = [
        "--recipe",
        args.recipe,
        "--weights",
        args.weights or args.model,
        "--bags",
        corrections,
        "--keep",
        args.bags,
    ]
    steps: list[list[Any]] = [
        ["sim.correct", args.model, *of],
        ["policy.train", *training, "--samples", args.samples, "--out", run],
        ["policy.export", run, "--out", model],
    ]
    run_steps("corrections", args.out, steps, model / "spec.json")
    return model


def outcomes(folder: Path, task: str) -> dict[int, bool]:
    """Seed -> success, of the evaluation's own phrasings."""
    records = [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]
    return {r["seed"]: r["success"] for r in records if r["run"] == "main" and r["task"] == task}


def main() -> None:
    """Correct, train, evaluate and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corrections", description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="the policy to correct")
    parser.add_argument("--weights", type=Path, help="its run, where the model is too old to hold its weights")
    parser.add_argument("--recipe", required=True, help="the recipe that it was trained with")
    parser.add_argument("--bags", type=Path, required=True, help="what it was trained on, and is not to forget")
    parser.add_argument("--task", required=True, help="where it is corrected")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--corrections", type=int, default=50)
    parser.add_argument("--samples", type=int, default=100_000, help="windows of the further training")
    parser.add_argument("--episodes", type=int, default=100, help="of each task")
    args = parser.parse_args()
    tasks = sorted({bag.name.rsplit("_", 1)[0] for bag in find_bags(args.bags)})
    before = evaluation(args.model, tasks, args.out / "before", args)
    after = evaluation(learn(args), tasks, args.out / "after", args)
    lines = ["| task | before | after | only before; only after | p |", "| --- | --- | --- | --- | --- |"]
    for task in [args.task, *(task for task in tasks if task != args.task)]:
        first, second = (outcomes(args.out / name, task) for name in ("before", "after"))
        lost, won = (sum(a[s] and not b[s] for s in a) for a, b in ((first, second), (second, first)))
        rates = " | ".join(
            f"{r['rate']:.0%} ({r['low']:.0%} to {r['high']:.0%})" for r in (x["tasks"][task] for x in (before, after))
        )
        lines.append(f"| {task} | {rates} | {lost}; {won} | {exact_p(lost, won):.2g} |")
    (args.out / "table.md").write_text("\n".join(lines) + "\n")
    print(*lines, sep="\n")


if __name__ == "__main__":
    sys.exit(exit_code(main))
