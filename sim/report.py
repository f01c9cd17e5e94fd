"""The report of an evaluation and its page; `python -m sim.report out/eval` writes the page again."""

import argparse
import html
import json
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

from policy.errors import InputError, exit_code
from policy.learning.card import evaluation_table
from sim import html_page as page
from sim.charts import bars
from sim.success_rate import success_rate

Record = dict[str, Any]
RUNS = ("main", "reworded", "new_words", "shuffled", "chain")


def summarise(settings: Record, records: list[Record]) -> Record:
    """report.json: every figure from the records of the episodes; `mean` is the mean over tasks."""
    runs: dict[str, list[Record]] = {run: [r for r in records if r["run"] == run] for run in RUNS}

    def by_task(run: str) -> Record:
        tasks = {task: success_rate(r for r in runs[run] if r["task"] == task) for task in settings["tasks"]}
        return {"mean": fmean(t["rate"] for t in tasks.values()), "episodes": len(runs[run]), "tasks": tasks}

    interventions: dict[str, int] = {}
    for record in runs["main"]:
        for reason, steps in record["interventions"].items():
            interventions[reason] = interventions.get(reason, 0) + steps
    main = by_task("main")
    kinds = dict.fromkeys(r["start"] for r in runs["main"])
    lengths = [r["completed"] for r in runs["chain"]]
    return {
        "policy": settings["policy"],
        "sha256": settings["sha256"],
        "seed": settings["seed"],
        "tasks": main["tasks"],
        "mean": main["mean"],
        "starts": {kind: success_rate(r for r in runs["main"] if r["start"] == kind) for kind in kinds},
        "held_out_phrasings": {run: by_task(run) for run in ("reworded", "new_words")},
        "control": {"shuffled_instruction": by_task("shuffled")},
        "chains": {
            "episodes": len(lengths),
            "mean_length": fmean(lengths) if lengths else None,
            "lengths": [lengths.count(n) for n in range(6)],
        },
        "outcomes": _outcomes(runs["main"]),
        "first_part": success_rate({"success": r["first_success"]} for r in runs["main"] if "first" in r),
        "safety_monitor": {"control_steps": sum(r["steps"] for r in runs["main"]), "interventions": interventions},
    }


def _outcomes(records: list[Record]) -> dict[str, dict[str, int]]:
    """How often each way was taken, of the successes of tasks that have several."""
    counts: dict[str, dict[str, int]] = {}
    for record in records:
        if record["success"] and (outcome := record.get("outcome")):
            ways = counts.setdefault(record["task"], {})
            ways[outcome] = ways.get(outcome, 0) + 1
    return counts


def read_report(folder: Path, command: str) -> Record:
    """report.json of a folder; `InputError` with the command that makes one if it cannot be read."""
    try:
        report: Record = json.loads((folder / "report.json").read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} has no readable report.json ({error}); make one with `{command}`") from None
    return report


def write_page(folder: Path, report: Record) -> None:
    """Write index.html beside the videos."""
    chains = report["chains"]
    tiles = [
        ("mean success", f"{report['mean']:.1%}", f"{len(report['tasks'])} tasks"),
        ("reworded", f"{report['held_out_phrasings']['reworded']['mean']:.1%}", "never trained on"),
        ("new words", f"{report['held_out_phrasings']['new_words']['mean']:.1%}", "never trained on"),
    ]
    shuffled = report["control"]["shuffled_instruction"]
    if shuffled["episodes"]:
        tiles.append(("wrong instruction", f"{shuffled['mean']:.1%}", "control: should be near zero"))
    if chains["episodes"]:
        tiles.append(("chain of five", f"{chains['mean_length']:.2f}", f"done in a row, {chains['episodes']} chains"))
    tiles += [
        (f"{task}: {way}", str(count), "of the successes")
        for task, ways in report.get("outcomes", {}).items()
        for way, count in sorted(ways.items())
    ]
    films = [
        page.film(v["file"], v["success"], v["task"], v["instruction"], f"seed {v['seed']}, starts {v['start']}")
        for v in sorted(report["videos"], key=lambda v: v["success"])
    ]
    page.write(
        folder / "index.html",
        "report.html",
        policy=html.escape(report["policy"]),
        command=html.escape(report["command"]),
        sha256=report["sha256"][:12],
        chart=_chart(report),
        tiles=page.tiles(tiles),
        films="".join(films) or "<p>No episode was filmed.</p>",
    )


def _chart(report: Record) -> str:
    """Success rates of the tasks, the worst on top, and of the initial states."""
    tasks = sorted(report["tasks"].items(), key=lambda item: item[1]["rate"])
    starts = [(f"start: {kind}", rate, "start") for kind, rate in report["starts"].items()]
    return bars([(*row, "task") for row in tasks] + starts)


def main() -> None:
    """Write the page of a finished evaluation again and print its figures as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m sim.report", description=__doc__)
    parser.add_argument("folder", type=Path, help="output folder of sim.evaluate")
    folder = parser.parse_args().folder
    report = read_report(folder, "python -m sim.evaluate <model> --out <folder>")
    write_page(folder, report)
    print(evaluation_table(report))


if __name__ == "__main__":
    sys.exit(exit_code(main))
