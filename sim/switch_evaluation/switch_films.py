"""Films of switches, played again from their seeds: ours beside the baselines."""

from collections import deque
from collections.abc import Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from policy.running.session import Session
from sim.switch_evaluation.recorded_episode import RecordedEpisode
from sim.switch_evaluation.switch_episode import play
from sim.switch_evaluation.switch_jobs import SwitchJob
from sim.video import RATE, STEPS, Video, caption
from sim.worlds.interface import World

BESIDE = ("flush", "retreat")  # baselines that are filmed beside ours
SIZE, ALONE = (240, 320), (360, 480)  # height, width of each, and where there is no baseline
BEFORE = 3 * RATE // 2  # control steps before the switch
Record = dict[str, Any]


def film(job: SwitchJob, world: World, sessions: Mapping[bool, Session], path: Path, left_out: Set[str]) -> None:
    """Play a job of ours, and what baselines make of the same pair in the same layout; write them side by side.

    `sessions` has ours for True, and that of the baselines for False, if there is one.
    """
    methods, size = (("ours", *BESIDE), SIZE) if False in sessions else (("ours",), ALONE)
    takes, scene = [], None
    for method in methods:
        take = _Take(world, method if len(methods) > 1 else "", size)
        record = play(replace(job, method=method), world, sessions[method == "ours"], take, left_out)
        scene = scene or _scene(record)
        if _scene(record) == scene:
            takes.append(take.frames())
    after = max(len(take[1]) for take in takes)
    with Video(path, RATE // STEPS) as video:
        for i in range(-BEFORE // STEPS, after):
            video.show(np.hstack([_frame(take, i) for take in takes]))


def _scene(record: Record) -> tuple[int, list[str]] | None:
    return None if record["skipped"] else (record["layout_seed"], record["tasks"])


class _Take:
    """The frames of one episode: the last ones before the switch, and all after it."""

    def __init__(self, world: World, name: str, size: tuple[int, int]) -> None:
        self._world, self._name, self._size = world, f"{name}: " if name else "", size
        self._before: deque[np.ndarray] = deque(maxlen=BEFORE // STEPS)
        self._after: list[np.ndarray] = []

    def __call__(self, episode: RecordedEpisode) -> None:
        if len(episode.setpoints) % STEPS:
            return
        picture = caption(self._world.film(*self._size), f"{self._name}{episode.instructions[-1]}")
        (self._before if len(episode.instructions) == 1 else self._after).append(picture)

    def frames(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        return list(self._before), self._after


def _frame(take: tuple[list[np.ndarray], list[np.ndarray]], i: int) -> np.ndarray:
    """Frame i of a take, 0 the first after the switch; the first and the last one are repeated."""
    before, after = take
    return before[max(0, len(before) + i)] if i < 0 else after[min(i, len(after) - 1)]
