"""What each ingredient of changing one's mind is worth: the recipe `switch` without it, on one budget.

    python -m benchmarks.ablations --data data/tabletop --weights runs/chunk --out out/ablations

    reference     all of it
    contact       the policy is not told what it holds and since when
    mode          no labels of mode: all say forward, so the session lets go of the previous instruction at once
    rollback      the frames in which something is undone are left out
    advance       the frames between the two tasks are left out
    shared_grasp  B always begins at its start, never where A already holds the same thing in the same grasp
    plain         the recipe `chunk` on the same demonstrations, whose instruction is swapped: the three baselines

Each begins with the weights of `--weights`, trains for `--minutes` on one core and is put through `--episodes` switches
a phase; as many are at work as there are cores. What is there already is not done again.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any

import yaml

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


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """The report of one variant: trained, exported and evaluated, unless it is there."""
    folder = args.out / name
    report = folder / "eval" / "report.json"
    if not report.exists():
        folder.mkdir(parents=True, exist_ok=True)
        if name == "plain":
            written, bags = "chunk", args.data / "demos"
            evaluated = [args.out / "reference" / "model", "--baseline", folder / "model"]
        else:
            written, bags = (
                folder / "recipe.yaml",
                args.out / "no_shared_grasp" if name == "shared_grasp" else args.data,
            )
            written.write_text(yaml.safe_dump(changed(VARIANTS[name]), sort_keys=False))
            evaluated = [folder / "model"]
        steps = (
            [
                "policy.train",
                "--recipe",
                written,
                "--bags",
                bags,
                "--out",
                folder / "run",
                "--weights",
                args.weights,
                "--minutes",
                args.minutes,
            ],
            ["policy.export", folder / "run", "--out", folder / "model"],
            [
                "sim.evaluate",
                *evaluated,
                "--switch",
                "early,mid,late",
                "--episodes",
                args.episodes,
                "--seed",
                args.seed,
                "--processes",
                2,
                "--out",
                folder / "eval",
            ],
        )
        with (folder / "log.txt").open("a") as log:
            for module, *rest in steps:
                print(f"{name}: {module}, see {folder / 'log.txt'}", flush=True)
                command = [sys.executable, "-m", str(module), *map(str, rest)]
                if subprocess.run(
                    command, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"}
                ).returncode:
                    raise InputError(f"{module} of {name} failed; see the end of {folder / 'log.txt'}")
    return json.loads(report.read_text())


def changed(change: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The recipe `switch` with some settings changed."""
    raw = yaml.safe_load((recipe.FOLDER / "switch.yaml").read_text())
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
        [sys.executable, "-m", "sim.switches", bags / "demos", "--out", bags / "switches", "--no-shared-grasp"],
        check=True,
    )


def rows(name: str, report: dict[str, Any]) -> list[str]:
    """The lines of one variant in the table; `plain` has one for each way of swapping its instruction."""
    if name == "plain":
        return [row(f"plain policy, {method}", measured) for method, measured in report["baselines"].items()]
    return [row(name if name == "reference" else f"without {name}", report)]


def row(title: str, report: dict[str, Any]) -> str:
    """A line of the table."""

    def share(r: dict[str, Any]) -> str:
        return f"{100 * r['rate']:.0f} ({100 * r['low']:.0f} to {100 * r['high']:.0f})"

    phases = [share(report["switch"][phase]) for phase in ("early", "mid", "late")]
    safe, alone = share(report["object_safety"]), share(report["no_switch"])
    resumed = f"{share(report['resume'])} of {report['resume']['episodes']}, {report['resume']['not_possible']} lost"
    return "| " + " | ".join([title, *phases, safe, resumed, alone, f"{report['time_to_b_s']['p50']:.2f}"]) + " |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablations", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the bags: demos and switches")
    parser.add_argument("--weights", type=Path, required=True, help="run of the recipe chunk, with which all begin")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=25.0, help="of training, each on one core")
    parser.add_argument("--episodes", type=int, default=100, help="switches a phase")
    parser.add_argument("--seed", type=int, default=1_700_000)
    parser.add_argument("--only", nargs="+", choices=[*VARIANTS, "plain"], default=[*VARIANTS, "plain"])
    args = parser.parse_args()
    names = [name for name in [*VARIANTS, "plain"] if name in args.only]  # the plain policy after the reference
    if not (args.data / "demos").is_dir():
        raise InputError(f"no {args.data / 'demos'}; make it with `python -m sim.record` and `python -m sim.switches`")
    if "shared_grasp" in names and not (args.out / "shared_grasp" / "run").exists():
        make_without_shared_grasp(args.data, args.out / "no_shared_grasp")
    if "plain" in names and "reference" not in names and not (args.out / "reference" / "model").exists():
        raise InputError(
            "the plain policy is put beside the reference, so that must be there first: --only reference plain"
        )
    cores: Queue[int] = Queue()
    for core in sorted(os.sched_getaffinity(0)):
        cores.put(core)

    def work(name: str) -> dict[str, Any]:
        core = cores.get()
        os.sched_setaffinity(0, {core})  # of this thread, and so of the processes that it begins
        try:
            return measure(name, args)
        finally:
            cores.put(core)

    with ThreadPoolExecutor(cores.qsize()) as pool:
        reports = list(pool.map(work, names))
    lines = [
        "| | early % | mid % | late % | object safety % | A resumed % | no switch % | time to B s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(line for name, report in zip(names, reports, strict=True) for line in rows(name, report)),
    ]
    (args.out / "table.md").write_text("\n".join(lines) + "\n")
    print(*lines, sep="\n")


if __name__ == "__main__":
    sys.exit(exit_code(main))
