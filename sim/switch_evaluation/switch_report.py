"""Figures of a switch evaluation: every one from the records of the episodes.

`python -m sim.switch_evaluation.switch_report out/switch` writes the page of a finished one again.
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from policy.errors import InputError, exit_code
from policy.robot.instructions import CONTINUE
from sim.report import rate
from sim.switch_evaluation import switch_page as page
from sim.switch_evaluation.methods import BASELINES
from sim.switch_evaluation.switch_jobs import PHASES, WORDS

Record = dict[str, Any]


def summarise(settings: Record, records: list[Record], words: dict[str, Record]) -> Record:
    """The report; `words`: for "ours" and "baseline" what `sim.switch_evaluation.refusals` says of the policy."""

    def of(method: str) -> Record:
        return _section(
            [r for r in records if r["method"] == method],
            settings["phases"],
            words["ours" if method == "ours" else "baseline"],
        )

    return {
        "settings": settings,
        "policy": settings["policy"],
        "sha256": settings["sha256"],
        "seed": settings["seed"],
        **of("ours"),
        "baselines": {name: of(name) for name in BASELINES if settings["baseline"]},
    }


def _section(records: list[Record], phases: Sequence[str], words: Record) -> Record:
    """All figures of one method; jobs for which no table was found are only counted."""
    made = [r for r in records if not r["void"]]
    runs = {run: [r for r in made if r["run"] == run] for run in {r["run"] for r in records}}
    switches = [r for phase in phases for r in runs[phase]]
    mid = runs.get("mid", [])
    unfinished = [r["resumed"] for r in mid if r["resumed"]]
    resumed = [r for r in unfinished if r["by"]]
    return {
        "switch": {phase: rate(runs[phase]) for phase in phases},
        "no_switch": rate({"success": won} for r in records for won in r["twins"]),
        "resume": rate(resumed)
        | {
            "by": {by: rate(r for r in resumed if r["by"] == by) for by in (CONTINUE, WORDS)},
            "not_possible": len(unfinished) - len(resumed),
        },
        "false_switch": _false(runs["false_switch"]),
        "object_safety": rate({"success": r["safe"]} for r in mid if r["safe"] is not None),
        **words,
        "reaction_s": _percentiles(switches, "reaction_s", 50, 99),
        "time_to_b_s": _percentiles(switches, "seconds", 50, 90)
        | {"phases": {phase: _percentiles(runs[phase], "seconds", 50, 90) for phase in phases}},
        "jerk_ratio": _percentiles(switches, "jerk_ratio", 50)["p50"],
        "jerk_ratio_p95": _percentiles(switches, "jerk_ratio", 95)["p95"],
        "three_switches": rate(runs["three_switches"]),
        "switch_back": rate(runs["switch_back"]),
        "interventions": {
            "beyond_limits": sum(r["beyond_limits"] for r in made),
            "control_steps": sum(r["steps"] for r in made),
            "guard": dict(sum((Counter(r["interventions"]) for r in made), Counter())),
        },
        "pairs": _pairs(switches),
        "redraws": sum(r["redraws"] for r in records),
        "void": [f"{r['run']}, seed {r['seed']}" for r in records if r["void"]],
    }


def _false(records: list[Record]) -> Record:
    """A false switch: any mode but forward, or a failure where the twin that is told nothing succeeds."""
    other = [any(mode != "forward" for mode in r["modes"]) for r in records]
    failed = [r["alone"] and not r["success"] for r in records]
    counted = rate({"success": a or b} for a, b in zip(other, failed, strict=True))
    counted["false"] = counted.pop("successes")
    return counted | {"other_mode": sum(other), "failed": sum(failed)}


def _percentiles(records: Iterable[Record], field: str, *which: int) -> dict[str, float | None]:
    """Of what is known; None where nothing is."""
    known = [r[field] for r in records if r[field] is not None]
    return {f"p{p}": round(float(np.percentile(known, p)), 4) if known else None for p in which}


def _pairs(switches: list[Record]) -> dict[str, dict[str, Record]]:
    """A -> B -> the rate over all phases, and of each."""
    table: dict[str, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for r in switches:
        table[r["tasks"][0]][r["tasks"][1]].append(r)
    return {
        a: {
            b: rate(there)
            | {
                "phases": {
                    phase: rate(r for r in there if r["run"] == phase)
                    for phase in PHASES
                    if any(r["run"] == phase for r in there)
                }
            }
            for b, there in row.items()
        }
        for a, row in table.items()
    }


def markdown(report: Record) -> str:
    """The figures as a table: a row each, a column for ours and for every baseline."""
    sections = {"ours": report, **report["baselines"]}

    def row(name: str, tell: Callable[[Record], str]) -> str:
        return f"| {name} | " + " | ".join(tell(section) for section in sections.values()) + " |"

    lines = [f"| | {' | '.join(sections)} |", "| --- |" + " --- |" * len(sections)]
    lines += [row(name, tell) for name, tell in page.rows(report)]
    return "\n".join(lines) + f"\n\nBy `{report['command']}`."


def main() -> None:
    """Write the page of a finished evaluation again and print its figures as Markdown."""
    parser = argparse.ArgumentParser(
        prog="python -m sim.switch_evaluation.switch_report", description=__doc__.splitlines()[0]
    )
    parser.add_argument("folder", help="what sim.evaluate --switch wrote")
    folder = Path(parser.parse_args().folder)
    try:
        report = json.loads((folder / "report.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError) as error:
        raise InputError(
            f"no report.json that can be read in {folder} ({error}); make it with "
            "`python -m sim.evaluate <model> --switch early,mid,late --out <folder>`"
        ) from None
    page.write_page(folder, report)
    print(markdown(report))


if __name__ == "__main__":
    sys.exit(exit_code(main))
