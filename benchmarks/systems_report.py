"""The table of systems: its rows from the episodes of three policies, as JSON, as Markdown and as a plot."""

import json
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from benchmarks.systems_rows import Row
from sim.success_rate import success_rate

Report = dict[str, Any]
HEAD = """# Systems

Published systems as recipes over the same seams; those of a row have the same recordings and budget (made by
`python -m benchmarks.systems`, from `systems.json`; each system has a page in [systems](../systems/index.md)).

**works**: the lower 95 % bound of the system lies above the upper bound of its negative control. **helps here**: its
success minus that of the reference, a chunk under a regression loss, with a 95 % interval. **parity** and **ms**: the
largest difference between torch and ONNX Runtime, as a share of the action range, and the median time of an inference
(2 threads, batch 1). **minutes**: of a training on one core, by the clock, with what else the machine did meanwhile
(pauses included). **trainings**: of each policy, from as many seeds; 100 episodes each. No figure is one of a paper:
tasks, data and sizes are ours.

"""
COLUMNS = (
    *("system", "what is shown", "success", "control", "beside them", "works", "helps here", "parity", "ms"),
    *("M parameters", "1000 windows", "minutes", "trainings"),
)


def compared(row: Row, reports: Sequence[Report]) -> Report:
    """What the reports of all seeds give: works, helps, exports."""
    rates = {
        name: success_rate(episode for report in reports for episode in report[name]["episodes"])
        for name in row.variants
    }
    system, control, reference = (rates.pop(name) for name in ("system", "control", "reference"))
    figures = [report["system"]["figures"] for report in reports]
    return {
        "works": {
            "test": row.test,
            "control": row.control_is,
            "passed": system["low"] > control["high"],
            "system_rate": system,
            "control_rate": control,
            "correlation": correlation(system, control),
        },
        "helps": difference(system, reference) | {"reference_rate": reference},
        "exports": {
            "parity": max(f["parity"] for f in figures),
            "step_ms": sorted(f["step_ms"] for f in figures)[len(figures) // 2],
            "state": figures[0]["state"],
        },
        "others": rates,
        "parameters": figures[0]["parameters"],
        "minutes": round(sum(f["minutes"] for f in figures) / len(figures), 2),
        "samples": figures[0]["samples"],
        "seeds": len(reports),
    }


def difference(a: Report, b: Report) -> Report:
    """The difference of two success rates and its 95 % interval (Newcombe's hybrid score, 1998)."""
    p, q = a["rate"], b["rate"]
    return {
        "difference": p - q,
        "low": p - q - sqrt((p - a["low"]) ** 2 + (b["high"] - q) ** 2),
        "high": p - q + sqrt((a["high"] - p) ** 2 + (q - b["low"]) ** 2),
    }


def correlation(a: Report, b: Report) -> float:
    """Of success with which of two was asked for, such as a return of 1 or of 0: the phi coefficient."""
    n, m, s, t = a["episodes"], b["episodes"], a["successes"], b["successes"]
    spread = sqrt(n * m * (s + t) * (n + m - s - t))
    return float((s * (m - t) - t * (n - s)) / spread) if spread else 0.0


def read(path: Path) -> list[Report]:
    """The rows of a results file, none where there is no file."""
    return list(json.loads(path.read_text())["rows"]) if path.exists() else []


def table(results: Sequence[Report]) -> str:
    """The page of the results."""

    def rate(r: Report) -> str:
        return f"{r['rate']:.0%} ({r['low']:.0%} to {r['high']:.0%})"

    lines = [f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}\n"]
    for row in results:
        works, helps, exports = row["works"], row["helps"], row["exports"]
        cells = [
            f"[{row['system']}](../systems/{row['system']}.md)",
            works["test"],
            rate(works["system_rate"]),
            f"{works['control']}: {rate(works['control_rate'])}",
            "; ".join(f"{name}: {rate(other)}" for name, other in row["others"].items()),
            "yes" if works["passed"] else "**no**",
            f"{helps['difference']:+.0%} ({helps['low']:+.0%} to {helps['high']:+.0%})",
            f"{exports['parity']:.0e}",
            f"{exports['step_ms']:.2f}",
            f"{row['parameters'] / 1e6:.2f}",
            f"{row['samples'] / 1e3:.0f}",
            f"{row['minutes']:.1f}",
            f"{row['seeds']}",
        ]
        lines.append("| " + " | ".join(cells) + " |\n")
    dates = sorted({f"{row['date']}, {row['machine']}" for row in results})
    made = f"\nSuccess against the time of an inference: ![plot](systems.svg)\n\nMeasured: {'; '.join(dates)}.\n"
    return HEAD + "".join(lines) + made


def draw(results: Sequence[Report], path: Path) -> None:
    """Success against the time of an inference, for all rows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure((8, 5), layout="constrained")
    axes = figure.add_subplot(xlabel="inference [ms]", ylabel="success", xscale="log", ylim=(0, 1.02))
    axes.set_xticks([0.1, 0.2, 0.5, 1, 2, 5, 10], ["0.1", "0.2", "0.5", "1", "2", "5", "10"])
    axes.xaxis.set_minor_formatter("")
    for row in results:
        rate, x = row["works"]["system_rate"], row["exports"]["step_ms"]
        spread = [[rate["rate"] - rate["low"]], [rate["high"] - rate["rate"]]]
        axes.errorbar([x], [rate["rate"]], yerr=spread, fmt="o", markersize=4, linewidth=1)
        place: dict[str, Any] = {"xytext": (4, 3), "textcoords": "offset points", "rotation": 30}
        axes.annotate(row["system"], (x, rate["rate"]), fontsize=7, **place)
    axes.grid(alpha=0.3, which="both")
    figure.savefig(path, metadata={"Date": None})
