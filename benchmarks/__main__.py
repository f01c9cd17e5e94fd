"""Every figure of speed, each beside a yardstick of the same run: benchmarks/results.json, and a page made of it.

    make bench                                    what is missing in --out; the same command goes on
    python -m benchmarks --only inference growth

Each measurement is a command of its own (python -m benchmarks.NAME --help). Leave the machine alone meanwhile, and
remove --out to measure anew. LeRobot is needed for what stands beside it: make lerobot.
"""

import argparse
import importlib
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from benchmarks import results
from benchmarks.child import tied
from benchmarks.made_by import read, record_of, write
from policy.errors import InputError, exit_code

PAGE = results.ROOT / "docs" / "results" / "benchmarks.md"


class Benchmark(NamedTuple):
    """A module with `table(figures)` and, where there is something to see, `draw(figures, path)`."""

    title: str
    options: tuple[str, ...] = ()


BENCHMARKS = {
    "inference": Benchmark("One inference"),
    "training": Benchmark("Training"),
    "growth": Benchmark("As robot and policy grow"),
    "batch": Benchmark("A batch of robots", ("--threads", "1")),
    "ingest": Benchmark("Bag to cache"),
    "simulation": Benchmark("Simulation"),
    "startup": Benchmark("Start-up and size"),
}


def module(name: str) -> ModuleType:
    """The code of one measurement."""
    return importlib.import_module(f"benchmarks.{name}")


def measure(name: str, folder: Path) -> None:
    """Run one, unless its figures are there, and put them into results.json; `InputError` where it fails."""
    out, command = folder / f"{name}.json", [f"benchmarks.{name}", *BENCHMARKS[name].options]
    kept, asked = folder / f"{name}.made_by.json", record_of([command])
    if out.exists() and read(kept) == asked:
        print(f"{name}: done already", flush=True)
        return
    print(f"{name}: python -m {shlex.join(command)}", flush=True)
    began, aside = time.monotonic(), out.with_suffix(".part")
    given = tied([sys.executable, "-m", *command, "--out", aside])
    if subprocess.run(given, cwd=results.ROOT).returncode:
        raise InputError(f"{name} failed; correct what it says, and give the same command again to go on")
    results.keep(name, f"python -m {shlex.join(command)}", json.loads(aside.read_text()))
    write(kept, asked)
    aside.rename(out)
    print(f"{name}: {(time.monotonic() - began) / 60:.1f} minutes", flush=True)


def page(path: Path) -> None:
    """The tables and pictures of all results, as Markdown and SVG."""
    lines = [
        "# Benchmarks",
        "",
        "Made by `make bench` from benchmarks/results.json; what each measures is in its own file.",
        "",
    ]
    found = results.read()
    for name, benchmark in BENCHMARKS.items():
        if name not in found:
            continue
        record, code = found[name], module(name)
        lines += [f"## {benchmark.title}", "", f"`{record['command']}`, {record['date']}, {record['machine']}", ""]
        lines += [*code.table(record["figures"]), ""]
        if hasattr(code, "draw"):
            picture = path.with_name(f"{path.stem}-{name}.svg")
            code.draw(record["figures"], picture)
            lines += [f"![{benchmark.title}]({picture.name})", ""]
    path.write_text("\n".join(lines[:-1]) + "\n")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS))
    parser.add_argument("--out", type=Path, default=results.ROOT / "out" / "bench", help="what is done is kept there")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.only:
        measure(name, args.out)
        page(PAGE)
    print(f"{PAGE}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
