"""Switches filmed again from their seeds, ours beside the baselines."""

from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from policy.running.session import Session
from sim.switch_evaluation.stage import Stage
from sim.switch_evaluation.switch_jobs import PHASES, Job, play
from sim.video import RATE, Video, caption
from sim.world import World

BESIDE = ("ours", "flush", "retreat")
SIZE = (180, 240)  # height, width of each
BEFORE = 3 * RATE // 2  # frames before the switch
FAILURES = 8  # filmed for each phase, next to one success
Record = dict[str, Any]


def choose(records: list[Record], jobs: list[Job]) -> list[tuple[str, list[Job]]]:
    """File name, and the jobs beside each other: for each phase one success of ours, and where it failed or dropped.

    Only methods that found the same switch on the same table stand beside ours; a success has them all, if any has.
    """
    beside: dict[tuple[str, int], list[tuple[Record, Job]]] = defaultdict(list)
    for record, job in zip(records, jobs, strict=True):
        if job.method in BESIDE and job.run in PHASES and not record["void"]:
            beside[job.run, job.seed].append((record, job))
    films = []
    for phase in PHASES:
        rows = [
            [(r, j) for r, j in row if (r["table"], r["tasks"]) == (row[0][0]["table"], row[0][0]["tasks"])]
            for (run, _), row in beside.items()
            if run == phase and row[0][1].method == "ours"
        ]
        won = sorted((row for row in rows if _well(row[0][0])), key=len, reverse=True)
        lost = [row for row in rows if not _well(row[0][0])]
        films += [(f"{phase}-success", row) for row in won[:1]]
        films += [(f"{phase}-failure-{i + 1}", row) for i, row in enumerate(lost[:FAILURES])]
    return [(name, [job for _, job in row]) for name, row in films]


def _well(record: Record) -> bool:
    """B was done, and what was held was not dropped."""
    return record["success"] and record.get("safe") is not False


def film(jobs: list[Job], world: World, session: Callable[[str], Session], path: Path) -> Record:
    """Play jobs that differ in their method only, and write them beside each other."""
    reels, records = [], []
    for job in jobs:
        reel = _Reel(world, job.method)
        records.append(play(job, world, session(job.method), reel))
        reels.append(reel.frames())
    before, after = (max(len(reel[part]) for reel in reels) for part in (0, 1))
    with Video(path) as video:
        for i in range(before + after):
            video.show(np.hstack([_at(reel, i - before) for reel in reels]))
    told = (
        f"{r['method']}: "
        + (f"B after {r['seconds']:.1f} s" if r["success"] else "B not done")
        + (", dropped" if r.get("safe") is False else "")
        + (f", A {'resumed' if r['resumed']['success'] else 'not resumed'}" if r.get("resumed") else "")
        for r in records
    )
    return {
        "phase": jobs[0].run,
        "tasks": records[0]["tasks"],
        "instructions": records[0]["instructions"],
        "success": _well(records[0]),
        "seed": jobs[0].seed,
        "note": "; ".join(told) + f"; seed {jobs[0].seed}",
        "file": f"{path.parent.name}/{path.name}",
    }


class _Reel:
    """What a camera sees of one run: a moment before the switch, and all after it."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name
        self._before: deque[np.ndarray] = deque(maxlen=BEFORE)
        self._after: list[np.ndarray] = []

    def __call__(self, stage: Stage) -> None:
        picture = caption(self._world.render("show", *SIZE), f"{self._name}: {stage.said[-1]}")
        (self._before if len(stage.said) == 1 else self._after).append(picture)

    def frames(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        return list(self._before), self._after


def _at(reel: tuple[list[np.ndarray], list[np.ndarray]], i: int) -> np.ndarray:
    """The frame i of a reel, 0 the first after the switch; its first and its last one are held."""
    before, after = reel
    return before[max(0, len(before) + i)] if i < 0 else after[min(i, len(after) - 1)]
