"""The task that a free sentence means: the one with the phrasing nearest to it."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from policy.running.text import Text
from sim.worlds.interface import Task

PHRASINGS = 6  # of each task, with which a sentence is compared: 20 ms each


class NearestTask(NamedTuple):
    """A task, its nearest phrasing, and their cosine similarity with the sentence."""

    task: Task
    phrasing: str
    similarity: float


def nearest_task(sentence: str, tasks: Mapping[str, Task]) -> NearestTask:
    """Compare the sentence with the phrasings of these tasks."""
    known = [(task, phrasing) for task in tasks.values() for phrasing in task.phrasings[:PHRASINGS]]
    embedded = Text().embed([sentence, *(phrasing for _, phrasing in known)])
    embedded = embedded / np.linalg.norm(embedded, axis=1, keepdims=True)
    similarity = embedded[1:] @ embedded[0]
    best = int(np.argmax(similarity))
    return NearestTask(*known[best], float(similarity[best]))
