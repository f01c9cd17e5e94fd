"""The figures of `sim.evaluate --words`, and the command itself."""

import argparse
import html
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from policy.errors import unknown
from policy.running.session import Session
from sim import html_page as page
from sim.charts import bars
from sim.evaluation_run import command, common_settings, play_all, write_json
from sim.job_queue import workers
from sim.success_rate import success_rate
from sim.words_evaluation import RUNS, Record, WordsJob, plan, play
from sim.worlds import load
from sim.worlds.interface import World

_world: World  # one of each in every worker process
_session: Session


def evaluate(args: argparse.Namespace) -> None:
    """Play what is not yet played, write report and page."""
    runs, out = _runs(args.words), Path(args.out)
    threads = 1 if args.processes > 1 else 2
    settings = common_settings(args) | {"runs": runs}
    jobs = plan(runs, load(args.world).sentences, args.episodes, args.seed)
    with workers(args.processes, _open, args.world, args.model, threads) as pool:
        records = play_all(pool, _play, jobs, out, settings, ("run", "seed"))
    report = summarise(settings, records) | {"command": command(args, "world", "words", "episodes", "seed", "out")}
    write_json(out / "report.json", report)
    write_page(out, report)
    print("; ".join(f"{name} {text}" for name, text, _ in figures(report)) + f"; report {out / 'report.json'}")


def summarise(settings: Record, records: list[Record]) -> Record:
    """report.json: the rates of each run, and the sentences that went wrong."""
    of = {run: [r for r in records if r["run"] == run] for run in settings["runs"]}
    report = {key: settings[key] for key in ("policy", "world", "sha256", "seed", "runs")}
    for run, made in of.items():
        report[run] = _SECTIONS[run](made)
    return report


def _order(records: list[Record]) -> Record:
    """The instruction's task is done: of what already was so, still so in the end."""
    by_task: dict[str, list[Record]] = {}
    for r in records:
        by_task.setdefault(r["tasks"][0], []).append(r)
    return {
        "done": _rate(records, _obeyed),
        "opposite_done": _rate(records, _turned_round),
        "refused": _rate(records, lambda r: bool(r["refused"])),
        "tasks": {
            task: {"done": _rate(rs, _obeyed), "opposite_done": _rate(rs, _turned_round)}
            for task, rs in by_task.items()
        },
    }


def _obeyed(r: Record) -> bool:
    task = r["tasks"][0]
    return task in r["done"] and task in r["done_at_the_end"]


def _turned_round(r: Record) -> bool:
    return any(name != r["tasks"][0] for name in r["done"])


def _negated(records: list[Record]) -> Record:
    """Obeyed: what the sentence forbids is done."""

    def obeyed(r: Record) -> bool:
        return r["tasks"][0] in r["done"]

    return {
        "obeyed": _rate(records, obeyed),
        "refused": _rate(records, lambda r: bool(r["refused"])),
        "sentences": [r["sentence"] for r in records if obeyed(r)],
    }


def _near_misses(records: list[Record]) -> Record:
    """Followed: any task is done that was not when the sentence came."""
    return {
        "followed": _rate(records, lambda r: bool(r["done"])),
        "refused": _rate(records, lambda r: bool(r["refused"])),
        "sentences": {r["sentence"]: r["done"] for r in records if r["done"]},
    }


def _pairs(records: list[Record]) -> Record:
    """Half done and reported done; both done."""

    def half(r: Record) -> bool:
        return set(r["done"]) != set(r["tasks"]) and bool(r["reported_done"]) and not r["refused"]

    return {
        "half_done_and_reported_done": _rate(records, half),
        "both_done": _rate(records, lambda r: set(r["done"]) == set(r["tasks"])),
        "refused": _rate(records, lambda r: bool(r["refused"])),
        "sentences": [r["sentence"] for r in records if half(r)],
    }


_SECTIONS: dict[str, Callable[[list[Record]], Record]] = {
    "order": _order,
    "negated": _negated,
    "under_way": _negated,
    "near_misses": _near_misses,
    "pairs": _pairs,
}


def _rate(records: Iterable[Record], true: Callable[[Record], bool]) -> dict[str, Any]:
    return success_rate({"success": true(r)} for r in records)


def figures(report: Record) -> list[tuple[str, str, str]]:
    """Name, rate and remark of each figure."""
    names = [
        ("order", "done", "the instruction's task, where both readings are possible"),
        ("order", "opposite_done", "the opposite instead, or as well"),
        ("negated", "obeyed", "what a sentence forbids is done"),
        ("under_way", "obeyed", "what a sentence forbids, while it is under way"),
        ("near_misses", "followed", "some task, for things or doings that are not there"),
        ("pairs", "half_done_and_reported_done", "of two tasks in one sentence"),
        ("pairs", "both_done", "of two tasks in one sentence"),
    ]
    rows = [(run, key, remark, report[run][key]) for run, key, remark in names if run in report]
    return [
        (f"{run}: {key.replace('_', ' ')}", f"{r['successes']} of {r['episodes']}", remark)
        for run, key, remark, r in rows
    ]


def write_page(folder: Path, report: Record) -> None:
    """Write index.html."""
    order = report.get("order", {"tasks": {}})["tasks"]
    rows = [(task, r["done"], "task") for task, r in order.items()]
    wrong = [
        f"<li>{run}: <q>{html.escape(text)}</q></li>"
        for run in report["runs"]
        if run != "order"
        for text in report[run]["sentences"]
    ]
    page.write(
        folder / "index.html",
        "words.html",
        policy=html.escape(report["policy"]),
        command=html.escape(report["command"]),
        sha256=report["sha256"][:12],
        tiles=page.tiles([(name, text, remark) for name, text, remark in figures(report)]),
        chart=bars(rows),
        sentences="".join(wrong) or "<li>none</li>",
    )


def _runs(text: str) -> list[str]:
    runs = list(RUNS) if text == "all" else text.split(",")
    for run in runs:
        if run not in RUNS:
            raise unknown("run of --words", run, RUNS)
    return runs


def _open(world: str, model: str, threads: int) -> None:
    """In a worker: load world and policy once."""
    global _world, _session
    _world, _session = load(world)(), Session(model, threads, "cpu")


def _play(job: WordsJob) -> Record:
    return play(job, _world, _session)
