"""All reproduced systems beside their negative controls and one reference, in one table.

    python -m benchmarks.systems --data data/systems --out out/systems [--only rt1 s4 ...] [--seeds 3] [--samples N]

Recordings are made where they are missing (benchmarks.systems_data). One row is trained on each core, and an inference
is timed on all of them, beside what trains there. Every training of a row sees as many frames: `--samples`, three
times as many where memory is trained on windows of them, a quarter where all learns from pictures. What is done
is kept, and the same command continues. Each finished row is appended to docs/results/systems.json, from which
docs/results/systems.md and its plot are made.
"""

import argparse
import json
import sys
import time
from concurrent.futures import as_completed
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from benchmarks import systems_data
from benchmarks.study import MADE_BY, on_each_core, run_steps
from benchmarks.systems_report import compared, draw, read, table
from benchmarks.systems_rows import Row, Variant, rows
from policy.errors import exit_code
from sim.cluster import add_argument, cluster

RESULTS = Path(__file__).parents[1] / "docs" / "results"
PROGRESS = Lock()


def recordings(row: Row) -> set[str]:
    """The kinds of recordings that a row is made of."""

    def of(variant: Variant) -> set[str]:
        return {training.data for training in variant.training.stages} | ({variant.index} if variant.index else set())

    return {kind for variant in row.variants.values() for kind in of(variant)}


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """A row of the table, over all seeds."""
    row, reports = rows()[name], []
    for seed in range(args.seeds):
        folder = args.out / "rows" / name / str(seed)
        report = folder / "report.json"
        for kept in (report, folder / MADE_BY):
            kept.unlink(missing_ok=True)  # made again from what is kept of it, as a recipe may have changed
        command = ["benchmarks.systems_run", name, "--seed", seed, "--data", args.data, "--out", args.out]
        command += ["--samples", int(args.samples * row.share), "--episodes", args.episodes, "--report", report]
        reports.append(run_steps(f"{name}, seed {seed}", folder, [command], report))
    return {
        "system": name,
        "recipe": row.recipe,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": reports[0]["system"]["figures"]["machine"],
        **compared(row, reports),
    }


def append(result: dict[str, Any], path: Path) -> None:
    """Put a row into the results, in place of an older one of the same system."""
    found = [row for row in read(path) if row["system"] != result["system"]]
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps({"rows": sorted([*found, result], key=lambda row: row["system"])}, indent=1) + "\n")
    aside.rename(path)
    path.with_suffix(".md").write_text(table(read(path)))
    draw(read(path), path.with_suffix(".svg"))


def main() -> None:
    """Record, train, evaluate, and write each row as it is done."""
    names = list(rows())
    parser = argparse.ArgumentParser(prog="python -m benchmarks.systems", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the recordings, made if missing")
    parser.add_argument("--out", type=Path, required=True, help="folder of the trainings")
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=400_000, help="frames of each training, times Row.share")
    parser.add_argument("--episodes", type=int, default=100, help="of each policy and seed")
    parser.add_argument("--results", type=Path, default=RESULTS / "systems.json")
    add_argument(parser)
    args = parser.parse_args()
    for kind in sorted(set().union(*(recordings(rows()[name]) for name in args.only))):
        systems_data.make(kind, args.data, 2)
    begun, done = time.monotonic(), 0

    def take(name: str, result: dict[str, Any]) -> None:
        nonlocal done
        with PROGRESS:
            append(result, args.results)
            done += 1
            left = (time.monotonic() - begun) / done * (len(args.only) - done) / 60
            works = "works" if result["works"]["passed"] else "does not work"
            print(f"{name} {works}; {done} of {len(args.only)} rows, about {left:.0f} minutes left", flush=True)

    if args.ray:
        with cluster(args.ray) as pool:
            names_of = {pool.submit(measure, name, args): name for name in args.only}
            for row in as_completed(names_of):
                take(names_of[row], row.result())
    else:
        on_each_core(args.only, lambda name: take(name, measure(name, args)))


if __name__ == "__main__":
    sys.exit(exit_code(main))
