"""Batches for training: which windows, in which order, in which phrasings; a pure function of seed and step."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from policy.data.cache import Cache
from policy.data.windows import Windows
from policy.errors import InputError
from policy.learning.context_labels import ContextLabels
from policy.learning.objectives import OBJECTIVES
from policy.learning.recipe import Recipe
from policy.running.text import Text
from policy.spec import MODES

PREFETCH = 3  # batches made while the model trains


class Batches:
    """The windows of a cache, split by recording into those trained on and those held out.

    A batch depends on the recipe's seed, the step and the process alone, so that a resumed run sees the same batches.
    It holds the graph's inputs (B, ...), actions (B, H, A), mask (B, H) and the labels of the recipe's objectives.
    """

    def __init__(self, cache: Cache, recipe: Recipe) -> None:
        self.recipe, self.seed = recipe.training, recipe.training.seed
        if self.recipe.ablate == "mode":
            cache = replace(cache, mode=np.zeros_like(cache.mode))
        self.cache = cache
        self.windows = Windows(cache, cache.contract.spec.horizon)
        self.labels = {name: OBJECTIVES[name].labels(cache) for name, weight in recipe.objectives.items() if weight > 0}
        self.sentence_embeddings, self.phrasings = _phrasings(cache)
        self.context = ContextLabels(cache) if recipe.switches else None
        sources = sorted({source for of_episode in cache.sources for source in of_episode})
        held_out, trained = _split(cache, self.recipe.held_out, self.seed)
        left_out = np.array([mode == self.recipe.ablate for mode in MODES])[cache.mode]
        self.train = np.flatnonzero(trained[cache.episode] & ~left_out)
        self.held_out = np.flatnonzero(held_out[cache.episode])
        self._shuffled = (-1, np.empty(0, np.int64))  # epoch and its order
        if not len(self.train):
            raise InputError(
                f"nothing to train on: {len(sources)} recordings, of which held_out takes all; record "
                "more or lower held_out in the recipe"
            )

    def at(self, step: int, process: int = 0, processes: int = 1) -> dict[str, Tensor]:
        """This process's share of the batch of a step."""
        rng = np.random.default_rng([self.seed, 1, step, process])
        indices = self._order(step)[process::processes]
        return self._make(indices, rng, self.recipe.random_shift)

    def ahead(self, step: int, process: int = 0, processes: int = 1) -> Generator[dict[str, Tensor], None, None]:
        """The batches from a step on, made by a thread while the caller uses the last one."""
        with ThreadPoolExecutor(1) as pool:
            queue = deque(pool.submit(self.at, step + i, process, processes) for i in range(PREFETCH))
            while True:
                queue.append(pool.submit(self.at, step + len(queue), process, processes))
                step += 1
                yield queue.popleft().result()

    def validation(self, most: int) -> Iterator[dict[str, Tensor]]:
        """At most `most` held-out windows, evenly spread, without random shift, in batches."""
        chosen = (
            self.held_out[np.unique(np.linspace(0, len(self.held_out) - 1, most).astype(int))]
            if len(self.held_out)
            else self.held_out
        )
        rng = np.random.default_rng([self.seed, 2])
        for start in range(0, len(chosen), self.recipe.batch_size):
            yield self._make(chosen[start : start + self.recipe.batch_size], rng, 0)

    def gather(self, indices: np.ndarray) -> dict[str, Tensor]:
        """The windows of these frames, without random shift."""
        return self._make(indices, np.random.default_rng([self.seed, 2]), 0)

    def _order(self, step: int) -> np.ndarray:
        """The windows of a step's batch over all processes: epoch after epoch, each in its own random order."""
        positions = np.arange(step * self.recipe.batch_size, (step + 1) * self.recipe.batch_size)
        epochs, within = np.divmod(positions, len(self.train))
        shuffled = np.concatenate([self._epoch(epoch)[within[epochs == epoch]] for epoch in np.unique(epochs)])
        indices: np.ndarray = self.train[shuffled]
        return indices

    def _epoch(self, epoch: int) -> np.ndarray:
        if self._shuffled[0] != epoch:
            rng = np.random.default_rng([self.seed, 3, epoch])
            self._shuffled = (epoch, rng.permutation(len(self.train)))
        return self._shuffled[1]

    def _make(self, indices: np.ndarray, rng: np.random.Generator, shift: int) -> dict[str, Tensor]:
        batch = self.windows.batch(indices, rng, shift)
        batch["instruction"] = self._instruction_embeddings(batch.pop("episode"), rng)
        if self.context is not None:
            context = self.context.draw(indices, rng)
            previous = self._instruction_embeddings(context["previous_instruction"], rng)
            batch |= context | {"previous_instruction": previous}
        batch |= {name: values[indices] for name, values in self.labels.items()}
        return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in batch.items()}

    def _instruction_embeddings(self, episodes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Embeddings (B, D), each between two phrasings of its episode's task: more phrasings than were recorded."""
        phrasings = [self.phrasings[episode] for episode in episodes]
        first, second = (self.sentence_embeddings[[rng.choice(numbers) for numbers in phrasings]] for _ in range(2))
        mixed = first + rng.random((len(phrasings), 1), np.float32) * (second - first)
        embeddings: np.ndarray = (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)
        return embeddings


def picture_size(recipe: Recipe) -> int | None:
    """The pixels along each side of the images that a policy reads, None where it reads them as they are."""
    cameras = recipe.encoders.get("cameras")
    return None if cameras is None else int(cameras.size)


def _split(cache: Cache, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which episodes are held out and which are trained on, (E,) bool each.

    A bag of switches shows the frames of the recordings it was made of: it goes with them, and is in neither part
    where they are in both.
    """
    sources = sorted({source for of_episode in cache.sources for source in of_episode})
    order = np.random.default_rng([seed, 0]).permutation(len(sources))
    held = {sources[i] for i in order[: round(share * len(sources))]}
    return (
        np.array([held.issuperset(of_episode) for of_episode in cache.sources]),
        np.array([held.isdisjoint(of_episode) for of_episode in cache.sources]),
    )


def _phrasings(cache: Cache) -> tuple[np.ndarray, list[np.ndarray]]:
    """Embeddings (N, D) of all N sentences and, by episode, the numbers of those of its task.

    An episode without a task label has its own sentence alone.
    """
    sentences = sorted(set(cache.instructions))
    number = {sentence: i for i, sentence in enumerate(sentences)}
    tasks: dict[str, set[int]] = {}
    for task, sentence in zip(cache.tasks, cache.instructions, strict=True):
        if task is not None:
            tasks.setdefault(task, set()).add(number[sentence])
    groups = {task: np.array(sorted(numbers)) for task, numbers in tasks.items()}
    return Text().embed(sentences), [
        np.array([number[sentence]]) if task is None else groups[task]
        for task, sentence in zip(cache.tasks, cache.instructions, strict=True)
    ]
