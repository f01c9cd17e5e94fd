"""The episodes of a bag with all their pictures in memory; training reads a cache instead (policy.data.cache)."""

from collections import Counter
from pathlib import Path

import numpy as np

from policy.data import recording
from policy.data.bag_reader import Pictures
from policy.data.runs import Run
from policy.robot.contract import Contract
from policy.spec import Episode


def read_episodes(bag: Path, contract: Contract, dropped: Counter[str] | None = None) -> list[Episode]:
    """The episodes of one bag; `dropped` counts by reason what could not be used.

    `InputError` if a topic of the contract is missing or has another type, or if nothing fits.
    """
    pictures: list[Pictures] = []
    found = recording.read(bag, contract, pictures.append)
    if dropped is not None:
        dropped.update(found.dropped)
    episodes = [episode for run in found.runs for episode in _episodes(run, pictures)]
    if episodes:
        episodes[0].dropped = found.dropped.total()
    return episodes


def _episodes(run: Run, pictures: list[Pictures]) -> list[Episode]:
    return [
        Episode(
            instruction=part.instruction,
            stamps=run.stamps[part.first : part.end],
            images=_stacked(pictures, run.pictures[part.first : part.end]),
            state=run.state[part.first : part.end],
            actions=run.actions[part.first : part.end],
            contact=None if run.contact is None else run.contact[part.first : part.end],
            mode=None if run.mode is None else run.mode[part.first : part.end],
            task=part.task,
        )
        for part in run.parts
    ]


def _stacked(pictures: list[Pictures], rows: np.ndarray) -> Pictures:
    """Camera -> uint8 (T, height, width, 3); each picture is let go as soon as it is copied."""
    out = {name: np.empty((len(rows), *image.shape), np.uint8) for name, image in pictures[rows[0]].items()}
    for to, k in enumerate(rows.tolist()):
        for name, image in pictures[k].items():
            out[name][to] = image
        pictures[k] = {}
    return out
