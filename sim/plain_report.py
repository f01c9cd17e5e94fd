"""The figures of a plain evaluation, and how its page shows them."""

import html
from statistics import fmean

from policy.learning.card import evaluation_table
from policy.running.safety import NO_COMMAND
from sim.charts import bars
from sim.evaluation_jobs import CHAIN, EpisodeJob, plan, succeeded
from sim.evaluation_page.row import Row
from sim.evaluation_page.view import Kind, Record, Section, View
from sim.evaluation_worker import film_job, play_job, prepare
from sim.success_rate import success_rate
from sim.worlds import load
from sim.worlds.interface import RATE

RUNS = ("main", "reworded", "new_words", "shuffled", "chain")


def summarise(settings: Record, records: list[Record]) -> Record:
    """report.json: every figure from the records of the episodes; `mean` is the mean over tasks."""
    played = [record for record in records if not record.get("skipped")]
    runs: dict[str, list[Record]] = {run: [r for r in played if r["run"] == run] for run in RUNS}

    def by_task(run: str) -> Record:
        tasks = {task: success_rate(r for r in runs[run] if r["task"] == task) for task in settings["tasks"]}
        rates = [t["rate"] for t in tasks.values() if t["episodes"]]  # what is not asked has no rate
        mean = fmean(rates) if rates else None
        return {"mean": mean, "episodes": len(runs[run]), "tasks": tasks}

    interventions: dict[str, int] = {}
    for record in runs["main"]:
        for reason, steps in record["interventions"].items():
            interventions[reason] = interventions.get(reason, 0) + steps
    main = by_task("main")
    kinds = dict.fromkeys(r["start"] for r in runs["main"])
    return {
        "policy": settings["policy"],
        "sha256": settings["sha256"],
        "seed": settings["seed"],
        "tasks": main["tasks"],
        "mean": main["mean"],
        "starts": {kind: success_rate(r for r in runs["main"] if r["start"] == kind) for kind in kinds},
        "held_out_phrasings": {run: by_task(run) for run in ("reworded", "new_words")},
        "control": {"shuffled_instruction": by_task("shuffled")},
        "chains": _chains([r for r in runs["chain"] if r["subtasks"]]),
        "outcomes": _outcomes(runs["main"]),
        "first_part": success_rate({"success": r["first_success"]} for r in runs["main"] if "first" in r),
        "safety_monitor": {"control_steps": sum(r["steps"] for r in runs["main"]), "interventions": interventions},
    }


def _chains(records: list[Record]) -> Record:
    """How many chains had no failure, and their lengths.

    Where nothing was left to ask for, and nothing had failed, the policy might have done more: no mean is known.
    """
    lengths = [r["completed"] for r in records]
    out_of_tasks = sum("out_of_tasks" in r for r in records)
    return success_rate({"success": succeeded(r)} for r in records) | {
        "mean_length": fmean(lengths) if lengths and not out_of_tasks else None,
        "lengths": [lengths.count(n) for n in range(CHAIN + 1)],
        "out_of_tasks": out_of_tasks,
    }


def _outcomes(records: list[Record]) -> dict[str, dict[str, int]]:
    """How often each way was taken, of the successes of tasks that have several."""
    counts: dict[str, dict[str, int]] = {}
    for record in records:
        if record["success"] and (outcome := record.get("outcome")):
            ways = counts.setdefault(record["task"], {})
            ways[outcome] = ways.get(outcome, 0) + 1
    return counts


def rate_table(columns: dict[str, Record]) -> str:
    """Rates with their intervals as HTML: a row for each task, a column for each rate of it."""
    head = "".join(f"<th scope=col>{html.escape(name)}</th>" for name in columns)
    tasks = dict.fromkeys(task for rates in columns.values() for task in rates)
    lines = [
        f"<tr><th scope=row>{html.escape(task)}</th>{''.join(rate_cell(of.get(task)) for of in columns.values())}</tr>"
        for task in tasks
    ]
    return f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def rate_cell(rate: Record | None) -> str:
    """A rate with its interval."""
    if rate is None or not rate["episodes"]:
        return "<td>–</td>"
    return (
        f"<td class=number>{rate['successes']}/{rate['episodes']} <small>{rate['rate']:.0%}, "
        f"{rate['low']:.0%} to {rate['high']:.0%}</small></td>"
    )


def _view(report: Record) -> View:
    chains, held_out = report["chains"], report["held_out_phrasings"]
    tiles = [
        ("mean success", f"{report['mean']:.1%}", f"{len(report['tasks'])} tasks"),
        *(
            (name, f"{held_out[run]['mean']:.1%}", "never trained on")
            for run, name in (("reworded", "reworded"), ("new_words", "new words"))
            if held_out[run]["episodes"]
        ),
    ]
    shuffled = report["control"]["shuffled_instruction"]
    if shuffled["episodes"]:
        tiles.append(("wrong instruction", f"{shuffled['mean']:.1%}", "control: should be near zero"))
    if chains["mean_length"] is not None:
        tiles.append(("chain of five", f"{chains['mean_length']:.2f}", f"done in a row, {chains['episodes']} chains"))
    elif chains["episodes"]:
        without = f"{chains['successes']} of {chains['episodes']}"
        tiles.append(("chains without a failure", without, "of five tasks, or of all that were possible"))
    tiles += [
        (f"{task}: {way}", str(count), "of the successes")
        for task, ways in report.get("outcomes", {}).items()
        for way, count in sorted(ways.items())
    ]
    columns = {"training phrasings": report["tasks"]} | {
        name: of["tasks"]
        for name, of in (
            ("reworded", held_out["reworded"]),
            ("new words", held_out["new_words"]),
            ("wrong instruction", shuffled),
        )
        if of["episodes"]
    }
    return View(
        f"{report['policy']}: evaluation",
        "The exported policy from unseen initial states, executed as on the robot.",
        tiles,
        [
            Section("Success of each task", "The worst on top; whiskers are 95 % Wilson intervals.", _chart(report)),
            Section(
                "Wordings",
                "Successes of the episodes, with 95 % intervals; of a wrong instruction it should be 0.",
                rate_table(columns),
            ),
        ],
    )


def _chart(report: Record) -> str:
    """Success rates of the tasks, the worst on top, and of the initial states."""
    tasks = sorted(report["tasks"].items(), key=lambda item: item[1]["rate"])
    starts = [(f"start: {kind}", rate, "start") for kind, rate in report["starts"].items()]
    return bars([(*row, "task") for row in tasks] + starts)


def _row(record: Record) -> Row | None:
    """An episode; None where nothing could be asked for."""
    if record.get("skipped"):
        return None
    if record["run"] == "chain":
        parts = record["subtasks"]
        if not parts:
            return None
        ended = "; nothing else that was taught was possible" if record.get("out_of_tasks") else ""
        return Row(
            record["seed"],
            "chain",
            "chain",
            succeeded(record),
            sum(part["steps"] for part in parts) / RATE,
            " → ".join(part["instruction"] for part in parts),
            "home",
            note=f"{record['completed']} done in a row{ended}",
            counted=False,
        )
    return Row(
        record["seed"],
        record["task"],
        record["run"],
        bool(record["success"]),
        record["steps"] / RATE,
        record["instruction"],
        record["start"],
        note=_note(record),
        filmed=record["run"] != "shuffled",
        counted=record["run"] == "main",
    )


def _note(record: Record) -> str:
    """What else is known of an episode."""
    notes = [record["outcome"]]
    if record["run"] == "shuffled":
        notes.append(f"asked for {record['instructed_task']}")
    if "first" in record:
        notes.append(f"first {record['first']}: {'done' if record['first_success'] else 'not done'}")
    notes.append(silence(record))
    return "; ".join(filter(None, notes))


def silence(record: Record) -> str:
    """That a policy commanded nothing in an episode, as one that refuses its instruction; "" where it did."""
    return "nothing was commanded" if record["interventions"].get(NO_COMMAND, 0) >= record["steps"] else ""


def _jobs(settings: Record) -> list[EpisodeJob]:
    sizes = (settings["episodes"], settings["held_out"], settings["chains"])
    return plan(settings["tasks"], load(settings["world"]), *sizes, settings["seed"])


KIND = Kind(_jobs, ("run", "seed"), play_job, _row, _view, evaluation_table, prepare, film_job)
