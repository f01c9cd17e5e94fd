"""`python -m sim.evaluate <model> --shift all`: the same episodes as they are and in another look."""

import argparse
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim.charts import bars
from sim.evaluation_jobs import EpisodeJob, start_of
from sim.evaluation_page.row import Row
from sim.evaluation_page.view import Kind, Record, Section, View
from sim.evaluation_run import command, common_settings, run_evaluation
from sim.evaluation_worker import film_job, play_job, prepare
from sim.plain_report import rate_cell, silence
from sim.shifts import NONE, shift_names
from sim.success_rate import success_rate
from sim.worlds import load
from sim.worlds.interface import RATE, World

GOAL = 0.95  # of the success without the shift


def evaluate(args: argparse.Namespace, tasks: list[str]) -> None:
    """Play what is not yet played, write report, films and page."""
    shifts, out = shift_names(args.shift, load(args.world)), Path(args.out)
    settings = common_settings(args) | {"shifts": shifts, "tasks": tasks}
    made = {"command": command(args, "world", "shift", "episodes", "seed", "tasks", "out")}
    report = run_evaluation(KIND, settings, args, lambda records: summarise(settings, records) | made)
    ratios = ", ".join(f"{name} {_percent(r['ratio'])}" for name, r in report["shifts"].items())
    print(f"of {report['without']['rate']:.1%} without: {ratios}; report {out / 'report.json'}")


def plan(world: type[World], shifts: Sequence[str], tasks: Sequence[str], episodes: int, seed: int) -> list[EpisodeJob]:
    """Every episode without a shift and with each one, from the same seeds."""
    return [
        EpisodeJob("main", task, seed + number * episodes + i, start_of(task, world, i), shift)
        for shift in (NONE, *shifts)
        for number, task in enumerate(tasks)
        for i in range(episodes)
    ]


def summarise(settings: Record, records: list[Record]) -> Record:
    """report.json: success without a shift, and with each one: `ratio` to that without, and the bounds of it."""

    def rate(shift: str) -> dict[str, Any]:
        played = [r for r in records if r["shift"] == shift]
        return success_rate(played) | {
            "tasks": {task: success_rate(r for r in played if r["task"] == task) for task in settings["tasks"]}
        }

    without = rate(NONE)
    shifts = {}
    for name in settings["shifts"]:
        made = rate(name)
        # Bounds of a ratio from the bounds of both rates: wider than need be, as the episodes are paired.
        made["ratio"] = made["rate"] / without["rate"] if without["rate"] else None
        made["ratio_low"] = made["low"] / without["high"]
        made["ratio_high"] = made["high"] / without["low"] if without["low"] else None
        shifts[name] = made
    return {key: settings[key] for key in ("policy", "world", "sha256", "seed")} | {
        "without": without,
        "shifts": shifts,
    }


def _view(report: Record) -> View:
    without = report["without"]
    rows = [("as it is", without, "start"), *((name, r, "task") for name, r in report["shifts"].items())]
    tiles = [("without a shift", f"{without['rate']:.1%}", f"{without['episodes']} episodes")]
    tiles += [
        (name, _percent(r["ratio"]), "of that without" + ("" if _reached(r) else ": too little"))
        for name, r in report["shifts"].items()
    ]
    return View(
        f"{report['policy']}: other lights, colours, cameras",
        "The same episodes as they are and with each shift, none of which is in a recording.",
        tiles,
        [
            Section("Success with each shift", "Whiskers are 95 % Wilson intervals.", bars(rows)),
            Section("Each task", "The ratio is to the success without a shift.", _table(rows, without["tasks"])),
        ],
    )


def _table(rows: list[tuple[str, Record, str]], tasks: Sequence[str]) -> str:
    """A row for each shift, a column for each task."""
    head = "".join(f"<th scope=col>{html.escape(name)}</th>" for name in ("success", "ratio", *tasks))
    lines = [
        f"<tr><th scope=row>{html.escape(name)}</th>{rate_cell(r)}<td>{_ratio(r)}</td>"
        + "".join(f"<td>{r['tasks'][task]['successes']}/{r['tasks'][task]['episodes']}</td>" for task in tasks)
        + "</tr>"
        for name, r, _ in rows
    ]
    return f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _row(record: Record) -> Row:
    return Row(
        record["seed"],
        record["task"],
        record["shift"],
        bool(record["success"]),
        record["steps"] / RATE,
        record["instruction"],
        record["start"],
        note=silence(record),
    )


def _markdown(report: Record) -> str:
    """The figures as a table."""
    rows = {"as it is": report["without"], **report["shifts"]}
    lines = [f"| {name} | {r['rate']:.1%} of {r['episodes']} | {_ratio(r) or '–'} |" for name, r in rows.items()]
    return "\n".join(["| shift | success | ratio |", "| --- | --- | --- |", *lines]) + f"\n\nBy `{report['command']}`."


def _jobs(settings: Record) -> list[EpisodeJob]:
    world = load(settings["world"])
    return plan(world, settings["shifts"], settings["tasks"], settings["episodes"], settings["seed"])


KIND = Kind(_jobs, ("shift", "task", "seed"), play_job, _row, _view, _markdown, prepare, film_job)


def _reached(rate: Record) -> bool:
    return rate["ratio"] is not None and rate["ratio"] >= GOAL


def _percent(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.1%}"


def _ratio(rate: Record) -> str:
    if "ratio" not in rate:
        return ""
    return f"{_percent(rate['ratio'])} ({_percent(rate['ratio_low'])} to {_percent(rate['ratio_high'])})"
