"""The page of a switch evaluation: figures of each method, the matrix of pairs, videos side by side."""

import html
from collections.abc import Callable
from typing import Any

from sim.charts import bars
from sim.evaluation_page.view import Section as PageSection
from sim.evaluation_page.view import View

SHADES = 6  # classes r0 to r5 of the style
Section = dict[str, Any]


def rows(report: Section) -> list[tuple[str, Callable[[Section], str]]]:
    """The rows of the table: a name, and the text for the section of a method."""

    def share(*path: str) -> Callable[[Section], str]:
        return lambda section: _share(_at(section, path))

    def seconds(*path: str) -> Callable[[Section], str]:
        return lambda section: _number(_at(section, path), " s")

    def alone(phase: str) -> Callable[[Section], str]:
        return lambda section: _alone(section["paired"][phase]) if "paired" in section else "–"

    def times(phase: str) -> Callable[[Section], str]:
        return lambda section: _times(section["paired"][phase]) if "paired" in section else "–"

    compared = (*report["switch"], "all") if report["baselines"] else ()
    return [
        *((f"{phase} switch", share("switch", phase)) for phase in report["switch"]),
        ("no switch (counterfactual)", share("no_switch")),
        ("A resumed after B", share("resume")),
        ("A no longer possible after B", lambda section: str(section["resume"]["not_possible"])),
        ("false switches", share("false_switch")),
        ("A's object safe (mid)", share("object_safety")),
        ("unknown instructions refused", share("unknown_refused")),
        ("reworded instructions refused", share("reworded_refused")),
        ("three switches in 2 s", share("three_switches")),
        ("switch back to A", share("switch_back")),
        ("reaction, median", seconds("reaction_s", "p50")),
        ("reaction, p99", seconds("reaction_s", "p99")),
        ("time to B, median", seconds("time_to_b_s", "p50")),
        ("time to B, p90", seconds("time_to_b_s", "p90")),
        *(
            (f"time to B, {phase}, median", seconds("time_to_b_s", "phases", phase, "p50"))
            for phase in report["switch"]
        ),
        *((f"{phase}, same switches: ours alone, it alone, p", alone(phase)) for phase in compared),
        *((f"{phase}, both succeed: ours, it", times(phase)) for phase in compared),
        ("jerk ratio, median", lambda section: _number(section["jerk_ratio"])),
        ("jerk ratio, p95", lambda section: _number(section["jerk_ratio_p95"])),
        ("set-points beyond limits", lambda section: str(section["interventions"]["limit_violations"])),
    ]


def view(report: Section) -> View:
    """What the page shows above the episodes."""
    sections = {"ours": report, **report["baselines"]}
    figures = [
        (f"{phase} switch", rate_text(r), f"{r['successes']} of {r['episodes']}")
        for phase, r in report["switch"].items()
    ]
    figures += [
        ("resumed", rate_text(report["resume"]), f"of {report['resume']['episodes']} unfinished A"),
        (
            "reaction",
            _number(report["reaction_s"]["p50"], " s"),
            f"median of {report['reaction_s']['episodes']} that react, 100 ms of it inference",
        ),
        ("false switches", rate_text(report["false_switch"]), "the same instruction reworded"),
    ]
    if unknown := report["unknown_refused"]:
        figures.append(("unknown refused", f"{unknown['rate']:.0%}", f"of {unknown['episodes']} sentences"))
    chart = bars(
        [
            (f"{phase}: {name}", section["switch"][phase], "task" if name == "ours" else "start")
            for phase in report["switch"]
            for name, section in sections.items()
        ]
    )
    return View(
        f"{report['policy']}: switches",
        "The instruction changes from task A to B: early before the first contact, mid in contact, late within a "
        "second after the last one. Unseen layouts, 100 ms for an inference on the simulated clock.",
        figures,
        [
            PageSection("Success of B", "Whiskers are 95 % Wilson intervals.", chart),
            PageSection(
                "Pairs",
                "A in rows, B in columns: successes of all phases. Press a cell to see its episodes.",
                matrix(report["pairs"]),
            ),
            PageSection("All figures", "", _figures(report, sections)),
        ],
    )


def rate_text(r: Section) -> str:
    """A rate; a dash where nothing was played."""
    return f"{r['rate']:.1%}" if r["episodes"] else "–"


def markdown(report: Section) -> str:
    """The figures as a table with a column for ours and each baseline."""
    sections = {"ours": report, **report["baselines"]}

    def row(name: str, text: Callable[[Section], str]) -> str:
        return f"| {name} | " + " | ".join(text(section) for section in sections.values()) + " |"

    lines = [f"| | {' | '.join(sections)} |", "| --- |" + " --- |" * len(sections)]
    lines += [row(*entry) for entry in rows(report)]
    return "\n".join(lines) + f"\n\nBy `{report['command']}`."


def matrix(pairs: dict[str, dict[str, Section]]) -> str:
    """A table with a row for each A and a column for each B; a cell's colour is its rate over the phases."""
    names = sorted({*pairs, *(b for row in pairs.values() for b in row)})
    head = "".join(f"<th scope=col><span>{html.escape(name)}</span></th>" for name in names)
    lines = [
        f"<tr><th scope=row>{html.escape(a)}</th>"
        + "".join(_cell(f"{a} → {b}", pairs.get(a, {}).get(b)) for b in names)
        + "</tr>"
        for a in names
    ]
    return f"<table class=matrix><tr><td></td>{head}</tr>{''.join(lines)}</table>"


def _cell(task: str, pair: Section | None) -> str:
    if pair is None:
        return "<td></td>"
    phases = ", ".join(f"{phase} {r['successes']}/{r['episodes']}" for phase, r in pair["phases"].items())
    return (
        f'<td><button type=button class=r{round((SHADES - 1) * pair["rate"])} data-task="{html.escape(task)}" '
        f'title="{html.escape(task)}: {phases}">{pair["successes"]}/{pair["episodes"]}</button></td>'
    )


def _figures(report: Section, sections: dict[str, Section]) -> str:
    head = "".join(f"<th scope=col>{name}</th>" for name in sections)
    lines = [
        f"<tr><th scope=row>{name}</th>{''.join(f'<td>{text(s)}</td>' for s in sections.values())}</tr>"
        for name, text in rows(report)
    ]
    return f"<table><tr><td></td>{head}</tr>{''.join(lines)}</table>"


def _at(section: Section, path: tuple[str, ...]) -> Any:
    for key in path:
        section = section[key]
    return section


def _share(r: Section | None) -> str:
    if not r or not r["episodes"]:
        return "–"
    return f"{r['rate']:.1%} of {r['episodes']} ({r['low']:.0%} to {r['high']:.0%})"


def _alone(pair: Section) -> str:
    return f"{pair['ours_alone']}, {pair['theirs_alone']} of {pair['switches']}, p {pair['p']:.3g}"


def _times(pair: Section) -> str:
    return f"{_number(pair['time_to_b_s']['ours'], ' s')}, {_number(pair['time_to_b_s']['theirs'], ' s')}"


def _number(value: float | None, unit: str = "") -> str:
    return "–" if value is None else f"{value:.2f}{unit}"
