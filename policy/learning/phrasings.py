"""The sentences of a cache as a policy reads them, and which of them say the same."""

import numpy as np

from policy.data.cache import Cache
from policy.running.text import Text


class Phrasings:
    """All N sentences of a cache, and for each episode those of its task; its own alone where it has no task label."""

    def __init__(self, cache: Cache) -> None:
        self.sentences = sorted(set(cache.instructions))
        number = {sentence: i for i, sentence in enumerate(self.sentences)}
        tasks: dict[str, set[int]] = {}
        for task, sentence in zip(cache.tasks, cache.instructions, strict=True):
            if task is not None:
                tasks.setdefault(task, set()).add(number[sentence])
        groups = {task: np.array(sorted(numbers)) for task, numbers in tasks.items()}
        self.of_episode = [  # (E,) of numbers
            np.array([number[sentence]]) if task is None else groups[task]
            for task, sentence in zip(cache.tasks, cache.instructions, strict=True)
        ]
        text = Text()
        read = [text.read(sentence) for sentence in self.sentences]
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
        first, second = (np.array([rng.choice(numbers) for numbers in possible]) for _ in range(2))
        start, end = self.pooled[first], self.pooled[second]
        mixed = start + rng.random((len(pairs), 1), np.float32) * (end - start)
        mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
        which = which.reshape(-1)
        drawn = first[which]
        return {name: mixed[which], f"{name}_tokens": self.states[drawn], f"{name}_mask": self.mask[drawn]}
