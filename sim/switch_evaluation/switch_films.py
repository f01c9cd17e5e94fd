"""Films of switches, played again from their seeds: ours beside the baselines."""

from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from policy.running.session import Session
from sim.switch_evaluation.recorded_episode import RecordedEpisode
from sim.switch_evaluation.switch_episode import play
from sim.switch_evaluation.switch_jobs import PHASES, SwitchJob
from sim.video import RATE, Video, caption
from sim.worlds.interface import World

BESIDE = ("ours", "flush", "retreat")
SIZE = (180, 240)  # height, width of each
BEFORE = 3 * RATE // 2  # frames before the switch
FAILURES = 8  # filmed for each phase, next to one success
Record = dict[str, Any]


def choose_films(records: list[Record], jobs: list[SwitchJob]) -> list[tuple[str, list[SwitchJob]]]:
    """File name and the jobs side by side: for each phase one success of ours, and its failures and drops.

    Only methods with the same pair in the same layout stand beside ours. The success is one with all methods, if any.
    """
    beside: dict[tuple[str, int], list[tuple[Record, SwitchJob]]] = defaultdict(list)
    for record, job in zip(records, jobs, strict=True):
        if job.method in BESIDE and job.run in PHASES and not record["skipped"]:
            beside[job.run, job.seed].append((record, job))
    films = []
    for phase in PHASES:
        rows = [
            [(r, j) for r, j in row if _scene(r) == _scene(row[0][0])]
            for (run, _), row in beside.items()
            if run == phase and row[0][1].method == "ours"
        ]
        successes = sorted((row for row in rows if _success(row[0][0])), key=len, reverse=True)
        failures = [row for row in rows if not _success(row[0][0])]
        films += [(f"{phase}-success", row) for row in successes[:1]]
        films += [(f"{phase}-failure-{i + 1}", row) for i, row in enumerate(failures[:FAILURES])]
    return [(name, [job for _, job in row]) for name, row in films]


def _scene(record: Record) -> tuple[int, list[str]]:
    return record["layout_seed"], record["tasks"]


def _success(record: Record) -> bool:
    """B succeeded and A's object was not dropped."""
    return record["success"] and record.get("object_safe") is not False


def film(jobs: list[SwitchJob], world: World, session: Callable[[str], Session], path: Path) -> Record:
    """Play jobs that differ only in their method, and write them side by side."""
    takes, records = [], []
    for job in jobs:
        take = _Take(world, job.method)
        records.append(play(job, world, session(job.method), take))
        takes.append(take.frames())
    before, after = (max(len(take[part]) for take in takes) for part in (0, 1))
    with Video(path) as video:
        for i in range(before + after):
            video.show(np.hstack([_frame(take, i - before) for take in takes]))
    return {
        "phase": jobs[0].run,
        "tasks": records[0]["tasks"],
        "instructions": records[0]["instructions"],
        "success": _success(records[0]),
        "seed": jobs[0].seed,
        "note": "; ".join([*map(_outcome, records), f"seed {jobs[0].seed}"]),
        "file": f"{path.parent.name}/{path.name}",
    }


def _outcome(record: Record) -> str:
    """What the method achieved, in words."""
    outcome = f"B after {record['time_to_b_s']:.1f} s" if record["success"] else "B not done"
    if record.get("object_safe") is False:
        outcome += ", dropped"
    if record.get("resumed"):
        outcome += f", A {'resumed' if record['resumed']['success'] else 'not resumed'}"
    return f"{record['method']}: {outcome}"


class _Take:
    """The frames of one episode: the last ones before the switch, and all after it."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name
        self._before: deque[np.ndarray] = deque(maxlen=BEFORE)
        self._after: list[np.ndarray] = []

    def __call__(self, episode: RecordedEpisode) -> None:
        picture = caption(self._world.render("show", *SIZE), f"{self._name}: {episode.instructions[-1]}")
        (self._before if len(episode.instructions) == 1 else self._after).append(picture)

    def frames(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        return list(self._before), self._after


def _frame(take: tuple[list[np.ndarray], list[np.ndarray]], i: int) -> np.ndarray:
    """Frame i of a take, 0 the first after the switch; the first and the last one are repeated."""
    before, after = take
    return before[max(0, len(before) + i)] if i < 0 else after[min(i, len(after) - 1)]
