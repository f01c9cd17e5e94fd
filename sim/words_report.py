"""The figures of `sim.evaluate --words`, and the command itself."""

import argparse
import html
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from policy.errors import InputError, listed
from sim.charts import bars
from sim.evaluation_page.row import Row
from sim.evaluation_page.view import Kind, Section, View
from sim.evaluation_run import command, common_settings, opened, run_evaluation
from sim.evaluation_worker import film_words, play_words, prepare
from sim.success_rate import success_rate
from sim.taught_tasks import asked
from sim.words_evaluation import RUNS, Record, WordsJob, plan
from sim.worlds import load


def evaluate(args: argparse.Namespace) -> None:
    """Play what is not yet played, write report, films and page."""
    runs, world = _runs(args.words), load(args.world)
    _require_sentences(args.world, runs)
    out, settings = Path(args.out), common_settings(args) | {"runs": runs}
    with closing(opened(args.model, args)) as session:
        settings["tasks"] = asked(world.tasks, session)
    made = {"command": command(args, "world", "words", "episodes", "seed", "out")}
    report = run_evaluation(KIND, settings, args, lambda records: summarise(settings, records) | made)
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
    """A lamp that is as it is asked for stays so where the sentence is refused, too: that is no success."""
    task = r["tasks"][0]
    return task in r["done"] and task in r["done_at_the_end"] and not r["refused"]


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
        (f"{run}: {key.replace('_', ' ')}", f"{r['successes']} of {r['episodes']}" if r["episodes"] else "–", remark)
        for run, key, remark, r in rows
    ]


def _view(report: Record) -> View:
    order = report.get("order", {"tasks": {}})["tasks"]
    wrong = [
        f"<li>{run}: <q>{html.escape(text)}</q></li>"
        for run in report["runs"]
        if run != "order"
        for text in report[run]["sentences"]
    ]
    chart = bars([(task, r["done"], "task") for task, r in order.items()])
    sections = [Section("Sentences that went wrong", "", f"<ul>{''.join(wrong) or '<li>none</li>'}</ul>")]
    if order:
        remark = "The instruction's task is done; whiskers are 95 % Wilson intervals."
        sections.insert(0, Section("Where both readings are possible", remark, chart))
    return View(
        f"{report['policy']}: words", "Frozen sentences that no policy is trained on.", figures(report), sections
    )


def _row(record: Record) -> Row:
    """Success: what a sentence asks for is done, or what it forbids, or what is not there, is not."""
    run, done = record["run"], set(record["done"])
    as_asked = _obeyed(record) if run == "order" else done == (set(record["tasks"]) if run == "pairs" else set())
    notes = [
        f"refused: {record['refused']}" if record["refused"] else "",
        f"done: {', '.join(sorted(done))}" if done else "",
    ]
    task = " + ".join(record["tasks"]) or "none"
    return Row(record["seed"], task, run, as_asked, None, record["sentence"], note="; ".join(filter(None, notes)))


def _markdown(report: Record) -> str:
    """The figures as a table."""
    lines = [f"| {name} | {text} | {remark} |" for name, text, remark in figures(report)]
    return "\n".join(["| | | |", "| --- | --- | --- |", *lines]) + f"\n\nBy `{report['command']}`."


def _jobs(settings: Record) -> list[WordsJob]:
    sentences = load(settings["world"]).sentences
    jobs = plan(settings["runs"], sentences, settings["episodes"], settings["seed"])
    return [job for job in jobs if set(job.tasks) <= set(settings.get("tasks", job.tasks))]


KIND = Kind(_jobs, ("run", "seed"), play_words, _row, _view, _markdown, prepare, film_words)


def _runs(text: str) -> list[str]:
    return list(RUNS) if text == "all" else listed(text, "run of --words", RUNS)


def _require_sentences(world: str, runs: list[str]) -> None:
    """`InputError` where a world has no frozen sentences for any of the runs."""
    there = {job.run for job in plan(RUNS, load(world).sentences, 1, 0)}
    if not there & set(runs):
        has = f"only {', '.join(run for run in RUNS if run in there)}" if there else "none"
        raise InputError(
            f"--words {','.join(runs)}: asks in frozen sentences, of which the world {world} has {has}; "
            f"{'give one of these' if there else 'give another --world, such as tabletop'}"
        )
