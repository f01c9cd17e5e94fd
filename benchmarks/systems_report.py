"""The table of systems: its rows from the episodes of three policies, as JSON, as Markdown and as a plot."""

import json
from collections.abc import Callable, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from benchmarks.systems_rows import Row
from sim.success_rate import success_rate

Report = dict[str, Any]
PINNED = 1  # core, on which an inference was timed before that was noted
HEAD = """# Systems

Published systems as recipes over the same seams, made by `python -m benchmarks.systems`, from `systems.json`; each
system has a page in [systems](../systems/index.md). Each training of a row sees as many frames.

**works**: the lower 95 % bound of the system lies above the upper bound of its negative control. **helps here**: its
success minus that of the reference, a chunk under a regression loss, with a 95 % interval. **parity**: the largest
difference between torch and ONNX Runtime, as a share of the action range. **ms**: the median time of an inference,
batch 1, 2 threads on as many cores as stand behind it; another row may train there meanwhile. **recordings**: what
each policy of the row learns from, one training after the other; – where a row is older than this column. **1000
frames** and **minutes**: of all its trainings, by the clock, with what else the machine did meanwhile (pauses
included). **trainings**: of each policy, from as many seeds. **episodes**: of the system, all seeds together
(`dit`: layouts of six tries). Some recipes were revised after a look at the first hundred of these layouts, which their
intervals do not say. No figure is one of a paper: tasks, data and sizes are ours.

"""
COLUMNS = (
    *("system", "what is shown", "success", "control", "beside them", "works", "helps here", "parity", "ms, cores"),
    *("M parameters", "recordings", "1000 frames", "minutes", "trainings", "episodes"),
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
            "cores": figures[0].get("cores", PINNED),
            "state": figures[0]["state"],
        },
        "others": rates,
        "parameters": figures[0]["parameters"],
        "trained": {name: _trained([report[name]["figures"] for report in reports]) for name in row.variants},
        "seeds": len(reports),
    }


def _trained(figures: Sequence[Report]) -> Report:
    """What a policy learnt from and how much, its minutes the mean over seeds."""
    minutes = sum(f["minutes"] for f in figures) / len(figures)
    return {"recordings": figures[0]["recordings"], "samples": figures[0]["samples"], "minutes": round(minutes, 2)}


def _each(trained: Report, figure: Callable[[Report], str]) -> str:
    """A figure of a row's policies, by name where they differ."""
    names: dict[str, list[str]] = {}
    for name, of in trained.items():
        names.setdefault(figure(of), []).append(name)
    return next(iter(names)) if len(names) == 1 else "; ".join(f"{', '.join(of)}: {text}" for text, of in names.items())


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
        trained = row.get("trained") or {"system": row | {"recordings": ["–"]}}  # as rows were before
        cells = [
            f"[{row['system']}](../systems/{row['system']}.md)",
            works["test"],
            rate(works["system_rate"]),
            f"{works['control']}: {rate(works['control_rate'])}",
            "; ".join(f"{name}: {rate(other)}" for name, other in row["others"].items()),
            "yes" if works["passed"] else "**no**",
            f"{helps['difference']:+.0%} ({helps['low']:+.0%} to {helps['high']:+.0%})",
            f"{exports['parity']:.0e}",
            f"{exports['step_ms']:.2f}, {exports.get('cores', PINNED)}",
            f"{row['parameters'] / 1e6:.2f}",
            _each(trained, lambda of: ", then ".join(of["recordings"])),
            _each(trained, lambda of: f"{of['samples'] / 1e3:.0f}"),
            f"{trained['system']['minutes']:.1f}",
            f"{row['seeds']}",
            f"{works['system_rate']['episodes']}",
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
