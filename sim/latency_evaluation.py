"""`sim.evaluate <model> --latency-ms 0,50,100,200,400 --schedule all`: the same episodes under each latency."""

import argparse
import html
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from policy.errors import InputError, listed
from policy.running.schedule import STRATEGIES, choose
from policy.spec import Spec
from sim.charts import curves
from sim.evaluation_jobs import EpisodeJob, start_of
from sim.evaluation_page.row import Row
from sim.evaluation_page.view import Kind, Record, Section, View
from sim.evaluation_run import command, common_settings, opened, run_evaluation
from sim.evaluation_worker import film_job, play_job, prepare
from sim.plain_report import rate_cell, silence
from sim.success_rate import success_rate
from sim.worlds import load
from sim.worlds.interface import STEP_NS, World

LONGEST = 2000  # ms
STEP = STEP_NS // 1_000_000  # ms
LATENCIES = "0,50,100,200,400"
OPTIONS = ("latency-ms", "schedule", "world", "episodes", "seed", "tasks", "out")


def evaluate(args: argparse.Namespace, tasks: list[str]) -> None:
    """Play what is not yet played, write report, films and page."""
    args.latency_ms, args.schedule = args.latency_ms or LATENCIES, args.schedule or "all"
    common = common_settings(args)
    with closing(opened(args.model, args)) as session:
        spec = session.spec
    latencies, schedules = _latencies(args.latency_ms), _schedules(args.schedule, spec)
    out, made = Path(args.out), {"command": command(args, *OPTIONS)}
    settings = common | {"latencies_ms": latencies, "schedules": schedules, "tasks": tasks}
    report = run_evaluation(KIND, settings, args, lambda records: summarise(settings, records) | made)
    for name, rows in report["schedules"].items():
        print(f"{name}: " + ", ".join(f"{r['latency_ms']} ms {r['rate']:.1%}" for r in rows))
    print(f"report {out / 'report.json'}; page {out / 'index.html'}")


def plan(
    world: type[World],
    schedules: Sequence[str],
    latencies: Sequence[int],
    tasks: Sequence[str],
    episodes: int,
    seed: int,
) -> list[EpisodeJob]:
    """Every episode with each strategy and latency, from the same seeds."""
    return [
        EpisodeJob(
            "main", task, seed + number * episodes + i, start_of(task, world, 0), latency_ms=latency, schedule=schedule
        )
        for schedule in schedules
        for latency in latencies
        for number, task in enumerate(tasks)
        for i in range(episodes)
    ]


def summarise(settings: Record, records: list[Record]) -> Record:
    """report.json: for each strategy a row a latency: success, seconds to finish, jerk at seams and inside."""
    return {key: settings[key] for key in ("policy", "world", "sha256", "seed")} | {
        "schedules": {
            schedule: [
                _row(latency, [r for r in records if (r["schedule"], r["latency_ms"]) == (schedule, latency)])
                for latency in settings["latencies_ms"]
            ]
            for schedule in settings["schedules"]
        }
    }


def _row(latency: int, played: list[Record]) -> dict[str, Any]:
    seconds = [r["seconds"] for r in played if r["success"]]
    jerk = {
        name: float(np.median([r[name] for r in played if r[name] is not None] or [np.nan]))
        for name in ("jerk_seam", "jerk_inside")
    }
    ratios = [r["jerk_seam"] / r["jerk_inside"] for r in played if r["jerk_seam"] is not None and r["jerk_inside"]]
    return {
        "latency_ms": latency,
        **success_rate(played),
        "seconds": float(np.median(seconds)) if seconds else None,
        **{name: None if np.isnan(value) else value for name, value in jerk.items()},
        "jerk_ratio": float(np.median(ratios)) if ratios else None,
    }


def _view(report: Record) -> View:
    rates = {name: [(r["latency_ms"], r) for r in rows] for name, rows in report["schedules"].items()}
    return View(
        f"{report['policy']}: success under latency",
        "The same episodes with each time from a frame to its chunk and each way in which chunks join.",
        [
            (name, f"{rows[-1]['rate']:.1%}", f"at {rows[-1]['latency_ms']} ms")
            for name, rows in report["schedules"].items()
        ],
        [
            Section("Success against latency", "Whiskers are 95 % Wilson intervals.", curves(rates, "latency, ms")),
            Section(
                "Figures",
                "Time to finish: median over the successes. Jerk: root mean square of the third difference of the "
                "commands, in velocity limits per s², where one chunk follows another and inside a chunk; the median "
                "over the episodes.",
                _table(report),
            ),
        ],
    )


HEAD = ("", "latency", "success", "time to finish", "jerk at seams", "inside", "ratio")


def _cells(r: Record) -> list[str]:
    return [_figure(r["seconds"], " s"), _figure(r["jerk_seam"]), _figure(r["jerk_inside"]), _figure(r["jerk_ratio"])]


def _table(report: Record) -> str:
    head = "".join(f"<th scope=col>{name}</th>" for name in HEAD)
    lines = [
        f"<tr><th scope=row>{html.escape(name)}</th><td>{r['latency_ms']} ms</td>{rate_cell(r)}"
        + "".join(f"<td class=number>{cell}</td>" for cell in _cells(r))
        + "</tr>"
        for name, rows in report["schedules"].items()
        for r in rows
    ]
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _markdown(report: Record) -> str:
    """The figures as a table."""
    lines = [
        f"| {name} | {r['latency_ms']} ms | {r['rate']:.1%} of {r['episodes']} | {' | '.join(_cells(r))} |"
        for name, rows in report["schedules"].items()
        for r in rows
    ]
    head = ["| " + " | ".join(HEAD) + " |", "| --- " * len(HEAD) + "|"]
    return "\n".join([*head, *lines]) + f"\n\nBy `{report['command']}`."


def _row_of(record: Record) -> Row:
    return Row(
        record["seed"],
        record["task"],
        f"{record['schedule']}, {record['latency_ms']} ms",
        bool(record["success"]),
        record["seconds"],
        record["instruction"],
        record["start"],
        note=silence(record),
    )


def _jobs(settings: Record) -> list[EpisodeJob]:
    conditions = (settings["schedules"], settings["latencies_ms"], settings["tasks"])
    return plan(load(settings["world"]), *conditions, settings["episodes"], settings["seed"])


KEY = ("schedule", "latency_ms", "task", "seed")
KIND = Kind(_jobs, KEY, play_job, _row_of, _view, _markdown, prepare, film_job)


def _figure(value: float | None, unit: str = "") -> str:
    return "–" if value is None else f"{value:.2f}{unit}"


def _latencies(text: str) -> list[int]:
    """Those of `--latency-ms`, the shortest first; a part of a control step would be simulated as a whole one."""
    try:
        latencies = [int(part) for part in text.split(",")]
    except ValueError:
        latencies = [-1]
    in_range = all(0 <= latency <= LONGEST and latency % STEP == 0 for latency in latencies)
    if not in_range or len(set(latencies)) < len(latencies):
        raise InputError(
            f"--latency-ms {text}: expected different multiples of {STEP}, a control step, of 0 to {LONGEST}, "
            f"such as {LATENCIES}"
        )
    return sorted(latencies)


def _schedules(text: str, spec: Spec) -> list[str]:
    """The strategies that `--schedule` names; "all" are those that the policy can serve."""
    if text == "all":
        return [name for name in STRATEGIES if name != "rtc" or "committed" in spec.reads]
    return [choose(name, spec) for name in listed(text, "schedule", STRATEGIES)]
