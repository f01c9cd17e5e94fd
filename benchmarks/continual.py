"""Tasks learnt one after the other: what the new one gains and the old ones lose, after LIBERO's protocol.

    python -m benchmarks.continual --data data/continual --out out/continual

    keep     each task onto the weights of before, half of each batch from `--rehearsal` recordings of every earlier one
    alone    each task onto the weights of before, from its own recordings alone
    anew     all tasks together, from nothing, with the whole budget: one training, as it has no order

Three orders. Forward transfer is the success on a task when it has just been learnt, forgetting what it has lost on
average in the stages after, the area under the curve the mean success on it from then on (Liu et al. 2023, LIBERO:
Benchmarking Knowledge Transfer for Lifelong Robot Learning). One chain of trainings runs on each core; existing
results are kept, and the same command continues.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.child import tied
from benchmarks.sequence import BASE
from benchmarks.study import on_each_core, run_steps
from policy.data.bag_files import find_bags
from policy.errors import exit_code

SEED = 1_730_000
TASKS = ("lamp_on", "open_drawer", "slider_left", "puck_white")
ORDERS = (TASKS, TASKS[::-1], ("slider_left", "lamp_on", "puck_white", "open_drawer"))
WAYS = ("keep", "alone", "anew")
Chain = tuple[str, int]  # way, order


def record(args: argparse.Namespace) -> None:
    """The demonstrations of each task, in a folder of its own."""
    for task in TASKS:
        command = ["sim.record", "--tasks", task, "--episodes", str(args.recordings), "--out", str(args.data / task)]
        subprocess.run(tied([sys.executable, "-m", *command, "--plain"]), check=True)


def chosen(tasks: Sequence[str], count: int, data: Path, folder: Path) -> Path:
    """A folder with as many recordings of each task, its first ones."""
    for task in tasks:
        for bag in find_bags(data / task)[:count]:
            target = folder / str(count) / task / bag.name
            if not target.exists():
                aside = target.with_name(f"{bag.name}.part")  # half a bag of a killed copy is completed
                shutil.copytree(bag, aside, dirs_exist_ok=True)
                aside.rename(target)
    return folder / str(count)


def learn(chain: Chain, args: argparse.Namespace) -> np.ndarray:
    """Success (K, K) of one way in one order: row i after the i-th task was learnt, column j on the j-th, nan before.

    `anew` fills its last row alone.
    """
    way, tasks = chain[0], ORDERS[chain[1]]
    folder = args.out / f"{way}_{chain[1]}"
    folder.mkdir(parents=True, exist_ok=True)
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(BASE, sort_keys=False))
    success, before = np.full((len(tasks),) * 2, np.nan), None
    for i, task in enumerate(tasks):
        last = i == len(tasks) - 1
        if way == "anew" and not last:
            continue
        stage = folder / f"{i}_{task}"
        together = tasks if way == "anew" else (task,)
        bags, samples = chosen(together, args.recordings, args.data, stage / "bags"), args.samples * len(together)
        training = ["policy.train", "--recipe", recipe, "--bags", bags, "--samples", samples, "--out", stage / "run"]
        training += ["--weights", before] if before else []
        if way == "keep" and before:
            training += ["--keep", chosen(tasks[:i], args.rehearsal, args.data, stage / "keep")]
        model, out = stage / "model", stage / "eval"
        evaluation = ["--tasks", ",".join(tasks[: i + 1]), "--chains", 0, "--episodes", args.episodes]
        steps: list[list[Any]] = [
            training,
            ["policy.export", stage / "run", "--out", model],
            ["sim.evaluate", model, *evaluation, "--seed", SEED, "--processes", 1, "--films", 0, "--out", out],
        ]
        report = run_steps(f"{way} {chain[1]}: {task}", stage, steps, out / "report.json")
        success[i, : i + 1] = [report["tasks"][name]["rate"] for name in tasks[: i + 1]]
        before = stage / "run"
    return success


def figures(success: np.ndarray) -> tuple[float, float, float]:
    """Forward transfer, forgetting and area under the curve of success (K, K)."""
    k = len(success)
    learnt = success.diagonal()
    lost = [np.mean([success[i, i] - success[later, i] for later in range(i + 1, k)]) for i in range(k - 1)]
    area = [success[i:, i].mean() for i in range(k)]
    return float(learnt.mean()), float(np.mean(lost)), float(np.mean(area))


def rows(results: dict[Chain, np.ndarray]) -> list[str]:
    """A table: one row a way, over the orders; success at the end of all tasks, and of the one learnt last."""
    lines = [
        "| | forward transfer | forgetting | area under the curve | at the end: all | the last |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for way in WAYS:
        of = [success for (name, _), success in results.items() if name == way]
        if not of:
            continue
        if way == "anew":  # the one training, with the last task of each order at the end
            of = [of[0][:, [TASKS.index(task) for task in order]] for order in ORDERS]
        cells = ["", "", ""] if way == "anew" else [f"{100 * x:.1f}" for x in np.mean([figures(s) for s in of], 0)]
        ends = np.mean([(s[-1].mean(), s[-1, -1]) for s in of], 0)
        lines.append(f"| {way} | {' | '.join(cells)} | {100 * ends[0]:.1f} | {100 * ends[1]:.1f} |")
    return lines


def main() -> None:
    """Record, train, evaluate and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.continual", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the bags, made where they are missing")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recordings", type=int, default=30, help="of each task")
    parser.add_argument("--rehearsal", type=int, default=5, help="recordings of each earlier task that are kept")
    parser.add_argument("--samples", type=int, default=100_000, help="windows of each stage")
    parser.add_argument("--episodes", type=int, default=50, help="of each task, after each stage")
    parser.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS))
    args = parser.parse_args()
    record(args)
    chains: list[Chain] = [(way, i) for way, i in product(args.only, range(len(ORDERS))) if way != "anew" or i == 0]
    by_name = {f"{way} {order}": (way, order) for way, order in chains}
    successes = on_each_core(list(by_name), lambda name: learn(by_name[name], args))
    kept = sum(
        f.stat().st_size
        for task in TASKS[:-1]
        for b in find_bags(args.data / task)[: args.rehearsal]
        for f in b.iterdir()
    )
    lines = [*rows(dict(zip(chains, successes, strict=True))), "", f"rehearsal: {kept / 1e6:.1f} MB"]
    (args.out / "table.md").write_text("\n".join(lines) + "\n")
    print(*lines, sep="\n")


if __name__ == "__main__":
    sys.exit(exit_code(main))
