"""The sentences of a cache as a policy reads them, and which of them say the same."""

import numpy as np

from policy.data.cache import Cache
from policy.learning.sentence_variants import Variants
from policy.running.text import Text


class Phrasings:
    """All N sentences of a cache, and for each episode those of its task; its own alone where it has no task label.

    With `paraphrases`, as many sentences at most are made for each task out of those that were recorded, in other words
    that mean the same. They are half of what is drawn.
    """

    def __init__(self, cache: Cache, paraphrases: int = 0) -> None:
        recorded = sorted(set(cache.instructions))
        taught = {(task, s) for task, s in zip(cache.tasks, cache.instructions, strict=True) if task is not None}
        made = reworded(sorted(taught), paraphrases) if paraphrases else {}
        self.sentences = [*recorded, *sorted({s for sentences in made.values() for s in sentences} - set(recorded))]
        number = {sentence: i for i, sentence in enumerate(self.sentences)}
        tasks: dict[str, set[int]] = {}
        for task, sentence in taught:
            tasks.setdefault(task, set()).add(number[sentence])
        groups = {}
        for task, numbers in tasks.items():
            others = np.array(sorted(number[s] for s in made.get(task, ()) if number[s] not in numbers), int)
            groups[task] = np.concatenate([np.resize(sorted(numbers), max(len(numbers), len(others))), others])
        self.of_episode = [  # (E,) of numbers
            np.array([number[sentence]]) if task is None else groups[task]
            for task, sentence in zip(cache.tasks, cache.instructions, strict=True)
        ]
        read = Text().read_all(self.sentences)
        self.pooled = np.stack([one.pooled for one in read])  # (N, D)
        self.states = np.stack([one.states for one in read])  # (N, L, D)
        self.mask = np.stack([one.mask for one in read])  # (N, L)

    def draw(
        self, name: str, episodes: np.ndarray, windows: np.ndarray, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """A phrasing for each of B frames: `name` (B, D), `name`_tokens (B, L, D), `name`_mask (B, L).

        Frames of one window (B,) and one episode (B,) are given the same. The pooled vector lies between two
        phrasings of the task: more phrasings than were recorded.
        """
        pairs, which = np.unique(np.stack([windows, episodes], 1), axis=0, return_inverse=True)
        possible = [self.of_episode[episode] for episode in pairs[:, 1]]
        counts = [len(numbers) for numbers in possible]
        first, second = (
            np.array([numbers[i] for numbers, i in zip(possible, rng.integers(counts), strict=True)]) for _ in range(2)
        )
        start, end = self.pooled[first], self.pooled[second]
        mixed = start + rng.random((len(pairs), 1), np.float32) * (end - start)
        mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
        which = which.reshape(-1)
        drawn = first[which]
        return {name: mixed[which], f"{name}_tokens": self.states[drawn], f"{name}_mask": self.mask[drawn]}


def reworded(taught: list[tuple[str, str]], most: int) -> dict[str, list[str]]:
    """Task -> at most `most` sentences that mean the same as those that were taught, pairs of task and sentence.

    None only puts "please" before or after a sentence: that is what evaluations ask for, who want to know whether an
    instruction is understood in other words.
    """
    made: dict[str, list[str]] = {}
    known = {sentence for _, sentence in taught}
    for sentence, task in Variants(taught, alike=lambda *_: False).sentences.items():
        polite = sentence.startswith("please ") or sentence.endswith(" please")
        if task is not None and sentence not in known and not polite:
            made.setdefault(task, []).append(sentence)
    rng = np.random.default_rng(0)
    return {task: [all_[i] for i in sorted(rng.permutation(len(all_))[:most])] for task, all_ in made.items()}
