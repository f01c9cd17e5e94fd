"""Ours beside a baseline on the same switches: the same layout, tasks and seed."""

from collections.abc import Sequence
from math import comb
from statistics import median
from typing import Any

Record = dict[str, Any]


def paired(ours: Sequence[Record], theirs: Sequence[Record], phases: Sequence[str]) -> dict[str, Record]:
    """For each phase and "all": switches played by both, successes of one alone, exact p, and times to B [s].

    p is that of the exact test of McNemar (1947): how likely a difference of successes at least as large is where
    neither is better. The times are medians over the switches in which both succeed, None where there is none.
    """
    other = {_switch(record): record for record in theirs}
    switches = [record for record in ours if record["run"] in phases and _switch(record) in other]
    pairs = [(record, other[_switch(record)]) for record in switches]
    table = {phase: _compare([pair for pair in pairs if pair[0]["run"] == phase]) for phase in phases}
    return table | {"all": _compare(pairs)}


def exact_p(first: int, second: int) -> float:
    """Two-sided p of `first` against `second` successes of one alone, where both are as likely."""
    n = first + second
    tail: float = sum(comb(n, k) for k in range(min(first, second) + 1)) / 2**n
    return min(1.0, 2 * tail)


def _compare(pairs: Sequence[tuple[Record, Record]]) -> Record:
    ours = sum(a["success"] and not b["success"] for a, b in pairs)
    theirs = sum(b["success"] and not a["success"] for a, b in pairs)
    both = [(a["time_to_b_s"], b["time_to_b_s"]) for a, b in pairs if a["success"] and b["success"]]
    times = [round(median(column), 3) for column in zip(*both, strict=True)] or [None, None]
    return {
        "switches": len(pairs),
        "ours_alone": ours,
        "theirs_alone": theirs,
        "p": exact_p(ours, theirs),
        "both": len(both),
        "time_to_b_s": dict(zip(("ours", "theirs"), times, strict=True)),
    }


def _switch(record: Record) -> tuple[Any, ...]:
    return record["run"], record["layout_seed"], tuple(record["tasks"])
