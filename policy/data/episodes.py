"""The episodes of a recording with all their pictures in memory; training reads a cache instead (policy.data.cache)."""

from collections import Counter
from pathlib import Path

import numpy as np

from policy.data.bag_reader import Pictures, Take
from policy.data.rosbag2 import Bag
from policy.data.runs import Run
from policy.data.stored import StoredRecording
from policy.robot.contract import Contract
from policy.spec import Episode


def read_episodes(
    recorded: StoredRecording | Path, contract: Contract, dropped: Counter[str] | None = None
) -> list[Episode]:
    """The episodes of one recording, of a bag where it is a path; `dropped` counts by reason what could not be used.

    `InputError` if it does not fit the contract.
    """
    stacks: dict[str, np.ndarray] = {}

    def begin(most: int) -> Take:
        for name, camera in contract.cameras.items():  # memory that is not written to is not taken
            stacks[name] = np.empty((most, *camera.shape), camera.dtype)
        row = iter(range(most))

        def take(pictures: Pictures) -> None:
            k = next(row)
            for name, image in pictures.items():
                stacks[name][k] = image

        return take

    stored = Bag(recorded.name, recorded) if isinstance(recorded, Path) else recorded
    found = stored.read(contract, begin)
    if dropped is not None:
        dropped.update(found.dropped)
    episodes = [episode for run in found.runs for episode in _episodes(run, stacks, found.success is not False)]
    if episodes:
        episodes[0].dropped = found.dropped.total()
    return episodes


def _episodes(run: Run, stacks: dict[str, np.ndarray], succeeded: bool) -> list[Episode]:
    return [
        Episode(
            instruction=part.instruction,
            stamps=run.stamps[part.first : part.end],
            images={name: _rows(stack, run.pictures[part.first : part.end]) for name, stack in stacks.items()},
            state=run.state[part.first : part.end],
            actions=run.actions[part.first : part.end],
            contact=None if run.contact is None else run.contact[part.first : part.end],
            mode=None if run.mode is None else run.mode[part.first : part.end],
            imitated=succeeded and (run.correction is None or bool(run.correction[part.first : part.end].all())),
            task=part.task,
        )
        for part in run.parts
    ]


def _rows(stack: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Those rows, without a copy where they follow each other."""
    first, end = int(rows[0]), int(rows[-1]) + 1
    return stack[first:end] if end - first == len(rows) else stack[rows]
