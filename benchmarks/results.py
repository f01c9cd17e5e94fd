"""One place for what the benchmarks measure: machine, date and command stand beside the figures."""

import json
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results.json"


def read(path: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """Benchmark -> its date, machine, commit, command and figures."""
    found: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    return found


def keep(name: str, command: str, figures: Any, path: Path = RESULTS) -> None:
    """Put what a benchmark measured in place of what it measured before."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    record = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "commit": commit.stdout.strip(),
        "command": command,
        "figures": figures,
    }
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(dict(sorted((read(path) | {name: record}).items())), indent=1) + "\n")
    aside.rename(path)


def show(lines: Sequence[str], figures: Any, out: Path | None) -> None:
    """Print the table of a measurement, and write its figures to `out` where that is asked for."""
    print(*lines, sep="\n")
    if out:
        out.write_text(json.dumps(figures) + "\n")


def machine() -> str:
    """The processor and how many of its cores are there."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {len(names) or '?'} cores"
