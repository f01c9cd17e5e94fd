"""`python -m sim.evaluate <model> --shift all`: the same episodes as they are and in another look."""

import argparse
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim import html_page as page
from sim.charts import bars
from sim.evaluation_jobs import EpisodeJob, Record
from sim.evaluation_run import command, common_settings, film_all, play_all, write_json
from sim.evaluation_worker import film_job, open_policy, play_job
from sim.job_queue import workers
from sim.shifts import NONE, shift_names
from sim.success_rate import success_rate
from sim.worlds import load
from sim.worlds.interface import World

GOAL = 0.95  # of the success without the shift


def evaluate(args: argparse.Namespace, tasks: list[str]) -> None:
    """Play what is not yet played, write report, videos and page."""
    shifts, out = shift_names(args.shift, load(args.world)), Path(args.out)
    threads = 1 if args.processes > 1 else 2
    settings = common_settings(args) | {"shifts": shifts, "tasks": tasks}
    jobs = plan(load(args.world), shifts, tasks, args.episodes, args.seed)
    with workers(args.processes, open_policy, args.world, args.model, threads) as pool:
        records = play_all(pool, play_job, jobs, out, settings, ("shift", "task", "seed"))
        report = summarise(settings, records) | {
            "command": command(args, "world", "shift", "episodes", "seed", "tasks", "out")
        }
        report["videos"] = film_all(pool, film_job, choose_films(records, jobs), out / "videos")
    write_json(out / "report.json", report)
    write_page(out, report)
    ratios = ", ".join(f"{name} {_percent(r['ratio'])}" for name, r in report["shifts"].items())
    print(f"of {report['without']['rate']:.1%} without: {ratios}; report {out / 'report.json'}")


def plan(world: type[World], shifts: Sequence[str], tasks: Sequence[str], episodes: int, seed: int) -> list[EpisodeJob]:
    """Every episode without a shift and with each one, from the same seeds."""
    return [
        EpisodeJob(
            "main", task, seed + number * episodes + i, world.evaluated_from[i % len(world.evaluated_from)], shift
        )
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


def choose_films(records: list[Record], jobs: list[EpisodeJob]) -> list[tuple[str, EpisodeJob]]:
    """File name and job of each film: for each shift its first failure, or its first success."""
    films: dict[str, tuple[EpisodeJob, bool]] = {}
    for record, job in zip(records, jobs, strict=True):
        if job.shift != NONE and (job.shift not in films or (films[job.shift][1] and not record["success"])):
            films[job.shift] = job, record["success"]
    return [(f"{name}-{'success' if success else 'failure'}", job) for name, (job, success) in films.items()]


def write_page(folder: Path, report: Record) -> None:
    """Write index.html beside the videos."""
    without = report["without"]
    rows = [("as it is", without, "start"), *((name, r, "task") for name, r in report["shifts"].items())]
    tiles = [("without a shift", f"{without['rate']:.1%}", f"{without['episodes']} episodes")]
    tiles += [
        (name, _percent(r["ratio"]), "of that without" + ("" if _reached(r) else ": too little"))
        for name, r in report["shifts"].items()
    ]
    head = "".join(f"<th scope=col>{html.escape(name)}</th>" for name, _, _ in rows)
    lines = [
        f"<tr><th scope=row>{html.escape(task)}</th>"
        + "".join(f"<td>{r['tasks'][task]['successes']}/{r['tasks'][task]['episodes']}</td>" for _, r, _ in rows)
        + "</tr>"
        for task in without["tasks"]
    ]
    ratios = "".join(f"<td>{_ratio(r)}</td>" for _, r, _ in rows)
    films = [
        page.film(v["file"], v["success"], v["shift"], v["instruction"], f"{v['task']}, seed {v['seed']}")
        for v in report["videos"]
    ]
    page.write(
        folder / "index.html",
        "shift.html",
        policy=html.escape(report["policy"]),
        command=html.escape(report["command"]),
        sha256=report["sha256"][:12],
        tiles=page.tiles(tiles),
        chart=bars(rows),
        table=f"<table><tr><td></td>{head}</tr><tr><th scope=row>ratio</th>{ratios}</tr>{''.join(lines)}</table>",
        films="".join(films),
    )


def _reached(rate: Record) -> bool:
    return rate["ratio"] is not None and rate["ratio"] >= GOAL


def _percent(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.1%}"


def _ratio(rate: Record) -> str:
    if "ratio" not in rate:
        return ""
    return f"{_percent(rate['ratio'])} ({_percent(rate['ratio_low'])} to {_percent(rate['ratio_high'])})"
