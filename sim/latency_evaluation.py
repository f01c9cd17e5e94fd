"""`sim.evaluate <model> --latency-ms 0,50,100,200,400 --schedule all`: the same episodes under each latency."""

import argparse
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from policy.errors import InputError
from policy.running.schedule import STRATEGIES, choose
from policy.running.session import Session
from policy.spec import Spec
from sim import html_page as page
from sim.charts import curves
from sim.evaluation_jobs import EpisodeJob, Record
from sim.evaluation_run import command, common_settings, play_all, write_json
from sim.evaluation_worker import open_policy, play_job
from sim.job_queue import workers
from sim.success_rate import success_rate
from sim.worlds import load
from sim.worlds.interface import World

LONGEST = 2000  # ms
LATENCIES = "0,50,100,200,400"
OPTIONS = ("latency-ms", "schedule", "world", "episodes", "seed", "tasks", "out")


def evaluate(args: argparse.Namespace, tasks: list[str]) -> None:
    """Play what is not yet played, write report and page."""
    args.latency_ms, args.schedule = args.latency_ms or LATENCIES, args.schedule or "all"
    common, spec = common_settings(args), Session(args.model, 1, "cpu").spec
    latencies, schedules = _latencies(args.latency_ms), _schedules(args.schedule, spec)
    out, threads = Path(args.out), 1 if args.processes > 1 else 2
    settings = common | {"latencies_ms": latencies, "schedules": schedules, "tasks": tasks}
    jobs = plan(load(args.world), schedules, latencies, tasks, args.episodes, args.seed)
    with workers(args.processes, open_policy, args.world, args.model, threads) as pool:
        records = play_all(pool, play_job, jobs, out, settings, ("schedule", "latency_ms", "task", "seed"))
    report = summarise(settings, records) | {"command": command(args, *OPTIONS)}
    write_json(out / "report.json", report)
    write_page(out, report)
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
            "main", task, seed + number * episodes + i, world.evaluated_from[0], latency_ms=latency, schedule=schedule
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


def write_page(folder: Path, report: Record) -> None:
    """Write index.html."""
    head = "".join(
        f"<th scope=col>{name}</th>"
        for name in ("", "latency", "success", "95 %", "time to finish", "jerk at seams", "inside", "ratio")
    )
    lines = [
        f"<tr><th scope=row>{html.escape(name)}</th><td>{r['latency_ms']} ms</td>"
        f"<td>{r['rate']:.1%} of {r['episodes']}</td><td>{r['low']:.1%} to {r['high']:.1%}</td>"
        f"<td>{_figure(r['seconds'], ' s')}</td><td>{_figure(r['jerk_seam'])}</td>"
        f"<td>{_figure(r['jerk_inside'])}</td><td>{_figure(r['jerk_ratio'])}</td></tr>"
        for name, rows in report["schedules"].items()
        for r in rows
    ]
    page.write(
        folder / "index.html",
        "latency.html",
        policy=html.escape(report["policy"]),
        command=html.escape(report["command"]),
        sha256=report["sha256"][:12],
        chart=curves(
            {name: [(r["latency_ms"], r) for r in rows] for name, rows in report["schedules"].items()}, "latency, ms"
        ),
        table=f"<table><tr>{head}</tr>{''.join(lines)}</table>",
    )


def _figure(value: float | None, unit: str = "") -> str:
    return "–" if value is None else f"{value:.2f}{unit}"


def _latencies(text: str) -> list[int]:
    try:
        latencies = [int(part) for part in text.split(",")]
    except ValueError:
        latencies = [-1]
    if any(not 0 <= latency <= LONGEST for latency in latencies) or len(set(latencies)) < len(latencies):
        raise InputError(
            f"--latency-ms {text}: expected different whole numbers of 0 to {LONGEST}, such as {LATENCIES}"
        )
    return latencies


def _schedules(text: str, spec: Spec) -> list[str]:
    """The strategies that `--schedule` names; "all" are those that the policy can serve."""
    if text == "all":
        return [name for name in STRATEGIES if name != "rtc" or "committed" in spec.reads]
    return [choose(name, spec) for name in text.split(",")]
