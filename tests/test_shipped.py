"""The shipped policies still do what their cards say, by the commands of the README: run in `make test-all`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.heavy
ROOT = Path(__file__).parent.parent
SEED = "1900000"  # of no published evaluation


def evaluate(
    out: Path, *arguments: str, model: str = "tabletop", python: str | Path = sys.executable
) -> dict[str, Any]:
    """The report of an evaluation of a shipped policy."""
    command = [
        str(python),
        "-m",
        "sim.evaluate",
        f"models/{model}",
        "--seed",
        SEED,
        "--films",
        "2",
        "--out",
        str(out),
        *arguments,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return report


def test_all_tasks_succeed_and_another_instruction_does_not(tmp_path: Path) -> None:
    """Its card: 99.2 % of 1,200. The bounds lie where a policy of that rate falls once in thousands of runs."""
    report = evaluate(tmp_path / "eval", "--episodes", "10", "--chains", "5")
    assert report["mean"] >= 0.95, report
    assert report["control"]["shuffled_instruction"]["mean"] <= 0.05


def test_a_switch_succeeds_and_drops_nothing(tmp_path: Path) -> None:
    """Its card: 98.5 to 100 % of 200 a phase; 98 of 100 are not dropped; no set-point beyond the limits."""
    report = evaluate(tmp_path / "switch", "--switch", "early,mid,late", "--episodes", "24")
    assert min(rates["rate"] for rates in report["switch"].values()) >= 0.8, report
    assert report["object_safety"]["rate"] >= 0.7, report
    assert report["interventions"]["limit_violations"] == 0


def test_the_tasks_of_libero_goal_succeed(tmp_path: Path) -> None:
    """Its card: 94 % of 100. At 88 %, its low end, fewer than 14 of 20 are done once in 150 runs."""
    python = ROOT / ".venv-libero" / "bin" / "python"
    arguments = ("--world", "libero_goal", "--episodes", "2", "--chains", "0")
    report = evaluate(tmp_path / "eval", *arguments, model="libero_goal", python=python)
    assert report["mean"] >= 0.7, report
    assert report["control"]["shuffled_instruction"]["mean"] <= 0.2
