"""What each part of the recipe `switch` contributes: the recipe without it, on one training budget.

    python -m benchmarks.ablations --data data/tabletop --weights runs/chunk --out out/ablations

    reference     the whole recipe
    contact       without contact and contact origin as inputs
    mode          all labels of the mode are forward, so the tracker drops the previous instruction at once
    rollback      without the frames in which something is undone
    advance       without the frames between the two tasks
    shared_grasp  B always begins at its start, never where A already holds the same object in the same grasp
    plain         the recipe `chunk` on the same demonstrations: the three baselines

Each variant begins with `--weights`, trains for `--minutes` on one core and is evaluated on `--episodes` switches of
each phase. One variant runs on each core; existing results are kept.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks.child import tied
from benchmarks.study import Report, on_each_core, run_steps
from policy.errors import InputError, exit_code
from policy.learning import recipe

VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "reference": {},
    "contact": {"encoders": {"execution_state": {"contact": False}}},
    "mode": {"training": {"ablate": "mode"}},
    "rollback": {"training": {"ablate": "rollback"}},
    "advance": {"training": {"ablate": "advance"}},
    "shared_grasp": {},
}


def learn(name: str, args: argparse.Namespace) -> None:
    """Train and export one variant, unless that is done."""
    folder = args.out / name
    folder.mkdir(parents=True, exist_ok=True)
    bags: Path = args.data / "demos"
    used: Any = "chunk"
    if name != "plain":
        used = folder / "recipe.yaml"
        bags = args.out / "no_shared_grasp" if name == "shared_grasp" else args.data
        used.write_text(yaml.safe_dump(changed(VARIANTS[name]), sort_keys=False))
    train = ["--recipe", used, "--bags", bags, "--weights", args.weights, "--minutes", args.minutes]
    steps = [
        ["policy.train", *train, "--out", folder / "run"],
        ["policy.export", folder / "run", "--out", folder / "model"],
    ]
    run_steps(name, folder, steps, folder / "model" / "spec.json")


def evaluate(name: str, args: argparse.Namespace) -> Report:
    """The report of one variant, unless it exists; `plain` drives the baselines beside the reference."""
    folder = args.out / name
    models = [folder / "model"]
    if name == "plain":
        models = [args.out / "reference" / "model", "--baseline", folder / "model"]
    options = [
        "--switch",
        "early,mid,late",
        "--episodes",
        args.episodes,
        "--seed",
        args.seed,
        "--processes",
        2,
        "--films",
        0,
    ]
    step, out = ["sim.evaluate", *models, *options, "--out", folder / "eval"], folder / "eval"
    return run_steps(name, out, [step], out / "report.json")


def changed(change: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The recipe `switch` with these settings."""
    raw: dict[str, Any] = yaml.safe_load((recipe.FOLDER / "switch.yaml").read_text())
    for section, values in change.items():
        for key, value in values.items():
            raw[section][key] = raw[section][key] | value if isinstance(value, dict) else value
    return raw


def make_without_shared_grasp(data: Path, bags: Path) -> None:
    """The same demonstrations, and switches of them without shared grasps."""
    if not (bags / "demos").exists():
        shutil.copytree(data / "demos", bags / "demos.part", copy_function=os.link, dirs_exist_ok=True)
        (bags / "demos.part").rename(bags / "demos")
    subprocess.run(
        tied([sys.executable, "-m", "sim.switches", bags / "demos", "--out", bags / "switches", "--no-shared-grasp"]),
        check=True,
    )


def rows(name: str, report: Report) -> list[str]:
    """The rows of one variant in the table; `plain` has one for each baseline."""
    if name == "plain":
        return [row(f"plain policy, {method}", measured) for method, measured in report["baselines"].items()]
    return [row(name if name == "reference" else f"without {name}", report)]


def row(title: str, report: Report) -> str:
    """A row of the table."""

    def share(r: Report) -> str:
        if not r["episodes"]:
            return "–"
        return f"{100 * r['rate']:.0f} ({100 * r['low']:.0f} to {100 * r['high']:.0f})"

    phases = [share(report["switch"][phase]) for phase in ("early", "mid", "late")]
    safe, no_switch = share(report["object_safety"]), share(report["no_switch"])
    resumed = (
        f"{share(report['resume'])} of {report['resume']['episodes']}, {report['resume']['not_possible']} not possible"
    )
    to_b = report["time_to_b_s"]["p50"]
    time = "–" if to_b is None else f"{to_b:.2f}"
    return "| " + " | ".join([title, *phases, safe, resumed, no_switch, time]) + " |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablations", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the bags: demos and switches")
    parser.add_argument("--weights", type=Path, required=True, help="run of the recipe chunk, where all begin")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=25.0, help="of training, each on one core")
    parser.add_argument("--episodes", type=int, default=100, help="switches of each phase")
    parser.add_argument("--seed", type=int, default=1_700_000)
    parser.add_argument("--only", nargs="+", choices=[*VARIANTS, "plain"], default=[*VARIANTS, "plain"])
    args = parser.parse_args()
    names = [name for name in [*VARIANTS, "plain"] if name in args.only]
    if not (args.data / "demos").is_dir():
        raise InputError(
            f"no folder {args.data / 'demos'}; make it with `python -m sim.record` and `python -m sim.switches`"
        )
    if "shared_grasp" in names and not (args.out / "shared_grasp" / "run").exists():
        make_without_shared_grasp(args.data, args.out / "no_shared_grasp")
    if "plain" in names and "reference" not in names and not (args.out / "reference" / "model").exists():
        raise InputError(
            "the plain policy is evaluated beside the reference, which does not exist yet: give --only reference plain"
        )
    on_each_core(names, lambda name: learn(name, args))
    reports = on_each_core(names, lambda name: evaluate(name, args))
    lines = [
        "| | early % | mid % | late % | object safety % | A resumed % | no switch % | time to B s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(line for name, report in zip(names, reports, strict=True) for line in rows(name, report)),
    ]
    (args.out / "table.md").write_text("\n".join(lines) + "\n")
    print(*lines, sep="\n")


if __name__ == "__main__":
    sys.exit(exit_code(main))
