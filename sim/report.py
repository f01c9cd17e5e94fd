"""Figures of an evaluation and the page that shows them; `python -m sim.report out/eval` makes both again."""

import argparse
import html
import json
import sys
from collections.abc import Iterable
from math import sqrt
from pathlib import Path
from statistics import fmean
from typing import Any

from policy.errors import InputError, exit_code
from policy.learning.card import evaluation_table
from sim import html_page as page


def wilson(successes: int, episodes: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % interval of a rate (Wilson, 1927): honest at 0 and at 1, where the usual one has no width."""
    if episodes == 0:
        return 0.0, 1.0
    p, n = successes / episodes, episodes
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def rate(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Episodes, successes, rate and its interval."""
    won = [bool(r["success"]) for r in records]
    low, high = wilson(sum(won), len(won))
    return {"episodes": len(won), "successes": sum(won), "rate": sum(won) / max(1, len(won)), "low": low, "high": high}


def summarise(settings: dict[str, Any], records: list[dict[str, Any]]) -> dict[str, Any]:
    """The report: every figure from the records of the episodes. `mean` is the mean over tasks."""
    runs: dict[str, list[dict[str, Any]]] = {
        run: [r for r in records if r["run"] == run] for run in ("main", "reworded", "new_words", "shuffled", "chain")
    }

    def by_task(run: str) -> dict[str, dict[str, Any]]:
        return {task: rate(r for r in runs[run] if r["task"] == task) for task in settings["tasks"]}

    def mean(run: str) -> dict[str, Any]:
        tasks = by_task(run)
        return {"mean": fmean(t["rate"] for t in tasks.values()), "episodes": len(runs[run]), "tasks": tasks}

    stops: dict[str, int] = {}
    for record in runs["main"]:
        for reason, steps in record["interventions"].items():
            stops[reason] = stops.get(reason, 0) + steps
    main = mean("main")
    chains = [r["done"] for r in runs["chain"]]
    return {
        "policy": settings["policy"],
        "sha256": settings["sha256"],
        "seed": settings["seed"],
        "tasks": main["tasks"],
        "mean": main["mean"],
        "starts": {kind: rate(r for r in runs["main"] if r["start"] == kind) for kind in ("home", "other")},
        "held_out_phrasings": {run: mean(run) for run in ("reworded", "new_words")},
        "control": {"shuffled_instruction": mean("shuffled")},
        "chains": {
            "episodes": len(chains),
            "mean_length": fmean(chains) if chains else None,
            "lengths": [chains.count(n) for n in range(6)],
        },
        "guard": {"control_steps": sum(r["steps"] for r in runs["main"]), "interventions": stops},
    }


def write_page(folder: Path) -> None:
    """report.json of a folder -> its index.html, beside the videos."""
    try:
        report = json.loads((folder / "report.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError) as error:
        raise InputError(
            f"no report.json that can be read in {folder} ({error}); "
            "make it with `python -m sim.evaluate <model> --out <folder>`"
        ) from None
    chains = report["chains"]
    tiles = [
        ("mean success", f"{report['mean']:.1%}", f"{len(report['tasks'])} tasks"),
        ("reworded", f"{report['held_out_phrasings']['reworded']['mean']:.1%}", "never trained on"),
        ("new words", f"{report['held_out_phrasings']['new_words']['mean']:.1%}", "never trained on"),
        (
            "wrong instruction",
            f"{report['control']['shuffled_instruction']['mean']:.1%}",
            "control: should be near zero",
        ),
    ]
    if chains["episodes"]:
        tiles.append(("chain of five", f"{chains['mean_length']:.2f}", f"done in a row, {chains['episodes']} chains"))
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
        chart=chart(report),
        tiles=page.tiles(tiles),
        films="".join(films) or "<p>No episode was filmed.</p>",
    )


def chart(report: dict[str, Any]) -> str:
    """Success rates of the tasks, the worst on top, and of the starts."""
    tasks = sorted(report["tasks"].items(), key=lambda kv: kv[1]["rate"])
    starts = [("start at home", report["starts"]["home"]), ("start elsewhere", report["starts"]["other"])]
    return bars([(*row, "task") for row in tasks] + [(*row, "start") for row in starts])


def bars(rows: list[tuple[str, dict[str, Any], str]]) -> str:
    """Rates as an SVG of bars with their intervals; a row is a name, a rate and "task" or "start", its colour."""
    left, wide, high = 190, 520, 28
    parts = [
        f'<svg viewBox="0 0 {left + wide + 140} {high * len(rows) + 34}" role="img" '
        'aria-label="success rates with their 95 % intervals">'
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = left + wide * share
        parts.append(
            f"<line class=grid x1={x} x2={x} y1=4 y2={high * len(rows) + 8} />"
            f"<text class=axis x={x} y={high * len(rows) + 26} text-anchor=middle>{share:.0%}"
            "</text>"
        )
    for i, (name, t, kind) in enumerate(rows):
        y = i * high + 6
        a, b, m = left + wide * t["low"], left + wide * t["high"], y + 10
        parts.append(
            f"<text x={left - 10} y={y + 15} text-anchor=end>{html.escape(name)}</text>"
            f"<rect class={kind} x={left} y={y} width={wide * t['rate']:.1f} height=20 rx=3 />"
            f'<path class=whisker d="M{a:.1f} {m}H{b:.1f}M{a:.1f} {m - 4}v8M{b:.1f} {m - 4}v8" />'
            f"<text class=value x={left + wide + 12} y={y + 15}>{t['rate']:.0%}"
            f"<tspan class=axis> {t['successes']}/{t['episodes']}</tspan></text>"
        )
    return "".join(parts) + "</svg>"


def main() -> None:
    """Write the page of a finished evaluation again and print its figures as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m sim.report", description=__doc__)
    parser.add_argument("folder", help="what sim.evaluate wrote")
    folder = Path(parser.parse_args().folder)
    write_page(folder)
    print(evaluation_table(json.loads((folder / "report.json").read_text())))


if __name__ == "__main__":
    sys.exit(exit_code(main))
