"""Figures and rows of two evaluations of the same episodes."""

import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sim.charts import bars
from sim.evaluation_page.row import Row
from sim.evaluation_page.view import Section, View
from sim.plain_report import rate_cell
from sim.success_rate import success_rate, wilson_interval
from sim.switch_evaluation.paired import exact_p

OUTCOMES = {(True, True): "both", (True, False): "only A", (False, True): "only B", (False, False): "neither"}


@dataclass(frozen=True, slots=True)
class Pair:
    """The same episode in both evaluations."""

    a: Row
    b: Row

    @property
    def outcome(self) -> str:
        """Which of the two succeeded."""
        return OUTCOMES[self.a.success, self.b.success]

    @property
    def told_apart(self) -> bool:
        """Whether the two were told other sentences, as of policies that were not taught the same ones."""
        return self.a.instruction != self.b.instruction

    def shown(self) -> dict[str, Any]:
        """What the page needs of it."""
        of_b = self.b.shown()
        shown = self.a.shown() | {"outcome": self.outcome, "films_from": [self.a.film_from, self.b.film_from]}
        if "seconds" in of_b:
            shown["other_seconds"] = of_b["seconds"]
        if self.told_apart:
            shown["instruction"] = f"A: {self.a.instruction} | B: {self.b.instruction}"
        notes = (f"{name}: {row.note}" for name, row in (("A", self.a), ("B", self.b)) if row.note)
        return shown | {"note": " | ".join(notes)}


def view(first: str, second: str, pairs: Sequence[Pair], played: tuple[int, int]) -> View:
    """What the page shows above the episodes; `played` are the numbers of episodes of each."""
    main = counted(pairs)
    rates, alone, (p, how) = _rates(main), apart(main), p_value(main)
    told = sum(pair.told_apart for pair in main)
    return View(
        f"{first} and {second}, episode by episode",
        f"{len(pairs)} episodes began alike in both, of {played[0]} in A and {played[1]} in B. Success and p are of "
        f"{len(main)}: without controls and baselines, which are listed below."
        + (f" In {told} of these the two were told other sentences." if told else ""),
        [
            ("success of A", *_figure(rates[0])),
            ("success of B", *_figure(rates[1])),
            ("only A succeeds", str(alone[0]), "episodes"),
            ("only B succeeds", str(alone[1]), "episodes"),
            ("p", p, how),
        ],
        [
            *(_of_tasks(main) if main else ()),
            Section("Runs, one by one", "", _table(pairs, lambda row: f"{row.condition} {row.method}".strip())),
        ],
    )


def _of_tasks(main: Sequence[Pair]) -> Iterator[Section]:
    yield Section("Each task", "A above, B below; whiskers are 95 % Wilson intervals, of layouts.", _chart(main))
    yield Section("Tasks, one by one", "", _table(main, lambda row: row.task))


def counted(pairs: Sequence[Pair]) -> list[Pair]:
    """Those that the evaluations are about."""
    return [pair for pair in pairs if pair.a.counted]


def apart(pairs: Sequence[Pair]) -> list[int]:
    """In how many A alone succeeds, and in how many B alone."""
    return [sum(pair.outcome == f"only {name}" for pair in pairs) for name in "AB"]


def p_value(pairs: Sequence[Pair]) -> tuple[str, str]:
    """p of their difference, and what it is; "–" and why not where there are none, or one layout counts several times.

    Episodes of one task and layout under several latencies or shifts succeed and fail together, and the test takes each
    for news of its own.
    """
    if not pairs:
        return "–", "no episodes"
    if _layouts(pairs) < len(pairs):
        return "–", "one layout is in several of these episodes; each run has its own p"
    return f"{exact_p(*apart(pairs)):.3g}", "exact test of McNemar: how likely by chance"


def _figure(rate: dict[str, Any]) -> tuple[str, str]:
    """A rate and its interval."""
    if not rate["episodes"]:
        return "–", "no episodes"
    return f"{rate['rate']:.1%}", f"{rate['low']:.1%} to {rate['high']:.1%}"


def _groups(pairs: Sequence[Pair], name: Callable[[Row], str]) -> dict[str, list[Pair]]:
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(name(pair.a), []).append(pair)
    return groups


def _layouts(pairs: Sequence[Pair]) -> int:
    """In how many layouts of a task they were played."""
    return len({(pair.a.task, pair.a.seed, pair.a.layout) for pair in pairs})


def _rates(pairs: Sequence[Pair]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of A and of B; a layout that was played several times counts once in the intervals, as it is one draw."""
    layouts = _layouts(pairs)

    def rate(results: list[bool]) -> dict[str, Any]:
        found = success_rate({"success": result} for result in results)
        low, high = wilson_interval(found["rate"] * layouts, layouts)
        return found | {"low": low, "high": high}

    return rate([pair.a.success for pair in pairs]), rate([pair.b.success for pair in pairs])


def _chart(pairs: Sequence[Pair]) -> str:
    rows = []
    for task, of in _groups(pairs, lambda row: row.task).items():
        a, b = _rates(of)
        rows += [(f"{task}: A", a, "task"), (f"{task}: B", b, "start")]
    return bars(rows)


def _table(pairs: Sequence[Pair], name: Callable[[Row], str]) -> str:
    head = "".join(f"<th scope=col>{text}</th>" for text in ("A", "B", "only A", "only B", "p"))
    lines = []
    for group, of in _groups(pairs, name).items():
        alone = apart(of)
        cells = "".join(map(rate_cell, _rates(of)))
        lines.append(
            f"<tr><th scope=row>{html.escape(group)}</th>{cells}<td>{alone[0]}</td><td>{alone[1]}</td>"
            f"<td>{p_value(of)[0]}</td></tr>"
        )
    return f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
