"""What memory, words in their order and the heads contribute, each beside its control on the same data and budget.

    python -m benchmarks.sequence --data data/sequence --out out/sequence [--only memory_gru ...]

    memory_<mixer>   the suite `memory`: put it back where it was, do what the lamp said; `none` is the control
    order_words      opposites and word order: the words of the sentence; order_pooled reads the pooled vector alone,
                     order_words_gru also remembers 1.4 s: whether memory helps where no task needs it
    modes_<head>     the suite `modes`: round a block to the left or to the right
    schedules_committed  reads the set-points that an inference leaves committed: each schedule under each latency

Recordings are made where they are missing. Each variant trains for `--samples` windows on one core and is evaluated on
100 unseen starts a task, under each latency on 10. One variant runs on each core; existing results are kept, and the
same command continues.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks.child import tied
from benchmarks.study import Report, on_each_core, run_steps
from policy.errors import exit_code
from policy.learning.heads import HEADS
from policy.learning.sequence_mixers import SEQUENCE_MIXERS

SEED = 1_720_000
ORDER = "slider_left,slider_right,open_drawer,close_drawer,lamp_on,lamp_off,stack_red_on_blue,stack_blue_on_red"
TASKS = {"memory": "memory", "order": ORDER, "modes": "modes"}
RECORDED = {"schedules": "order"}  # kinds that learn from the recordings of another
EPISODES = {"memory": 300, "order": 60, "modes": 200}  # of each task
BASE: dict[str, Any] = {
    "width": 128,
    "encoders": {
        "instruction": {"noise": 0.4},
        "cameras": {"size": 96, "stem": 16, "channels": 32, "blocks": 2, "keypoints": 32},
        "proprioception": {"noise": 0.02, "group_dropout": 0.1},
    },
    "mixer": {"name": "transformer", "layers": 3, "heads": 4},
    "head": {"name": "l1"},
    "objectives": {"keyframe": 0.1},
    "training": {"samples": 400_000, "batch_size": 128, "random_shift": 2},
}
WINDOW = {"frames": 64, "stride": 4}  # 12.8 s


def variants() -> dict[str, dict[str, Any]]:
    """Name -> recipe."""
    remembering = {
        f"memory_{name}": BASE
        | {"memory": {"name": name, **WINDOW}, "training": BASE["training"] | {"batch_size": 256}}
        for name in SEQUENCE_MIXERS
    }
    words = {"instruction": BASE["encoders"]["instruction"], "words": {}} | BASE["encoders"]
    orders = {
        "order_words": BASE | {"encoders": words},
        "order_pooled": BASE,
        "order_words_gru": BASE | {"encoders": words, "memory": {"name": "gru", "frames": 8, "stride": 4}},
    }
    heads = {f"modes_{name}": BASE | {"head": {"name": name}} for name in HEADS}
    committed = {"schedules_committed": BASE | {"encoders": BASE["encoders"] | {"committed": {"noise": 0.02}}}}
    return remembering | orders | heads | committed


def evaluation(kind: str) -> list[Any]:
    """How the variants of a kind are evaluated."""
    if kind == "schedules":
        return ["--tasks", ORDER, "--latency-ms", "0,50,100,200,400", "--schedule", "all", "--episodes", 10]
    if kind == "order":
        return ["--words", "order", "--episodes", 100]
    return ["--tasks", TASKS[kind], "--chains", 0, "--episodes", 100]


def record(kind: str, data: Path) -> Path:
    """The demonstrations of one kind of variant."""
    bags = data / kind
    command = ["sim.record", "--tasks", TASKS[kind], "--episodes", str(EPISODES[kind]), "--out", str(bags), "--plain"]
    subprocess.run(tied([sys.executable, "-m", *command]), check=True)
    return bags


def measure(name: str, args: argparse.Namespace) -> Report:
    """The report of one variant: trained, exported and evaluated, unless it exists."""
    folder, kind = args.out / name, name.split("_")[0]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(variants()[name], sort_keys=False))
    options = ["--seed", SEED, "--processes", 1, "--films", 0, "--out", folder / "eval", *evaluation(kind)]
    bags = args.data / RECORDED.get(kind, kind)
    recipe, run, model = folder / "recipe.yaml", folder / "run", folder / "model"
    steps = [
        ["policy.train", "--recipe", recipe, "--bags", bags, "--out", run, "--samples", args.samples],
        ["policy.export", run, "--out", model],
        ["sim.evaluate", model, *options],
    ]
    return run_steps(name, folder, steps, folder / "eval" / "report.json")


def row(name: str, report: Report) -> str:
    """A row of the table: rates with their intervals."""

    def rate(r: Report) -> str:
        return f"{r['rate']:.0%} ({r['low']:.0%} to {r['high']:.0%})"

    if "schedules" in report:
        cells = {f"{name} {r['latency_ms']} ms": r for name, rows in report["schedules"].items() for r in rows}
    elif "order" in report:
        cells = {"done": report["order"]["done"], "opposite done": report["order"]["opposite_done"]}
    else:
        cells = dict(report["tasks"])
    ways = report.get("outcomes", {})
    figures = [f"{task} {rate(r)}" + (f", {ways[task]}" if ways.get(task) else "") for task, r in cells.items()]
    return f"| {name} | {'; '.join(figures)} |"


def main() -> None:
    """Record, train, evaluate and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sequence", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the bags, made where they are missing")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=400_000, help="windows of each training")
    parser.add_argument("--only", nargs="+", choices=list(variants()), default=list(variants()))
    args = parser.parse_args()
    kinds = [name.split("_")[0] for name in args.only]
    for kind in dict.fromkeys(RECORDED.get(kind, kind) for kind in kinds):
        record(kind, args.data)
    reports = on_each_core(args.only, lambda name: measure(name, args))
    lines = ["| | success |", "| --- | --- |", *(row(n, r) for n, r in zip(args.only, reports, strict=True))]
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "table.md").write_text("\n".join(lines) + "\n")
    print(*lines, sep="\n")


if __name__ == "__main__":
    sys.exit(exit_code(main))
