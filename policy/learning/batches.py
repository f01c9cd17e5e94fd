"""Batches for training: which windows, in which order, in which phrasings; a pure function of seed and step."""

import hashlib
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
from policy.learning.model import Policy
from policy.learning.objectives import OBJECTIVES
from policy.learning.phrasings import Phrasings
from policy.learning.recipe import Recipe
from policy.spec import MODES

PREFETCH = 3  # batches made while the model trains
NOTHING_COMMITTED = 0.5  # probability, beside that of each number of steps


class Batches:
    """The windows of a cache, split by recording into those trained on and those held out.

    A batch depends on the recipe's seed, the step and the process alone, so that a resumed run sees the same batches.
    It holds the graph's inputs (B, ...), actions (B, H, A), mask (B, H) and the labels of the recipe's objectives. With
    memory its rows are windows of T frames, one after the other; is_first (windows, T) says where the past ends, and
    there (B,) whether a frame of the recording stands in a row.
    What stays the same on a robot while an instruction is followed is drawn once a window.
    """

    def __init__(self, cache: Cache, recipe: Recipe) -> None:
        self.recipe, self.seed = recipe.training, recipe.training.seed
        if self.recipe.ablate == "mode":
            cache = replace(cache, mode=np.zeros_like(cache.mode))
        self.cache = cache
        self.windows = Windows(cache, cache.contract.spec.horizon)
        labels = {name: OBJECTIVES[name].labels(cache) for name in recipe.learnt}
        self.labels = {name: label for name, label in labels.items() if label is not None}
        self.reads = frozenset(Policy.describe(recipe, cache.contract.spec).reads)
        self.frames, self.stride = (recipe.memory.frames, recipe.memory.stride) if recipe.memory else (1, 1)
        self.remembers = recipe.memory is not None
        # it infers between two strides, too; an objective that compares frames wants all of them a stride apart
        self.compares = any(OBJECTIVES[name].windows for name in recipe.learnt)
        self.between = recipe.memory is not None and recipe.memory.name != "none" and not self.compares
        self.phrasings = Phrasings(cache, self.recipe.paraphrases)
        self.context = ContextLabels(cache, recipe.runtime) if recipe.switches else None
        sources = sorted({source for of_episode in cache.sources for source in of_episode})
        held_out, trained = _split(cache, self.recipe.held_out, self.seed)
        left_out = np.array([mode == self.recipe.ablate for mode in MODES])[cache.mode]
        self.windows.learnt[left_out] = False  # nor in windows that end later
        self.train = np.flatnonzero(trained[cache.episode] & ~left_out & cache.imitated)
        self.held_out = np.flatnonzero(held_out[cache.episode] & cache.imitated)
        kept = cache.kept[cache.episode[self.train]]
        # what is to be kept has half of each batch, however little of the other there is
        self._pools = [self.train[~kept], self.train[kept]] if cache.kept.any() else [self.train]
        self._shuffled: dict[int, tuple[int, np.ndarray]] = {}  # pool -> epoch and its order
        if not all(len(pool) for pool in self._pools):
            which = " in what is to be kept" if len(self._pools[0]) else " but what is kept" if len(self.train) else ""
            raise InputError(
                f"nothing to train on{which}: {len(sources)} recordings, of which held_out takes all there; record "
                "more or lower held_out in the recipe"
            )
        self._check()

    def _check(self) -> None:
        """`InputError` where the recordings do not have what the recipe learns from."""
        cache, stamps = self.cache, self.cache.stamps[self.train]
        if self.frames > 1:
            _, first = np.unique(cache.recording, return_index=True)  # whose frames lie in the order of time
            begun = cache.stamps[first][cache.recording[self.train]]
            longest = round(int((stamps - begun).max()) / cache.contract.spec.dt_ns)
            if longest < self.stride:
                raise InputError(
                    f"memory.stride is {self.stride} in the recipe, and the longest recording has {longest} steps: no "
                    "window would hold two frames; give a shorter stride, or no memory"
                )
        if "return_to_go" in self.reads and not np.isfinite(cache.returns[cache.episode[self.train]]).any():
            raise InputError(
                "the recipe reads return_to_go, and no recording to train on says how good it was; mark them (success: "
                "true or false in bags.yaml beside them), or leave the encoder out"
            )

    def at(self, step: int, process: int = 0, processes: int = 1) -> dict[str, Tensor]:
        """This process's share of the batch of a step."""
        rng = np.random.default_rng([self.seed, 1, step, process])
        indices = self._order(step)[process::processes]
        return self._windows(indices, rng, self.recipe.random_shift)

    def ahead(self, step: int, process: int = 0, processes: int = 1) -> Generator[dict[str, Tensor], None, None]:
        """The batches from a step on, made by a thread while the caller uses the last one."""
        with ThreadPoolExecutor(1) as pool:
            queue = deque(pool.submit(self.at, step + i, process, processes) for i in range(PREFETCH))
            while True:
                queue.append(pool.submit(self.at, step + len(queue), process, processes))
                step += 1
                yield queue.popleft().result()

    def validation(self, most: int) -> Iterator[dict[str, Tensor]]:
        """At most `most` held-out frames, evenly spread, without random shift, in batches."""
        most //= self.frames
        chosen = (
            self.held_out[np.unique(np.linspace(0, len(self.held_out) - 1, most).astype(int))]
            if len(self.held_out)
            else self.held_out
        )
        yield from self._pieces(chosen)

    def spread(self, most: int) -> Iterator[dict[str, Tensor]]:
        """At most `most` frames to train on of which the whole chunk is learnt, evenly spread, without random shift.

        They are the last frames of the windows of batches.
        """
        yield from self._pieces(self._whole(most))

    def _pieces(self, last: np.ndarray) -> Iterator[dict[str, Tensor]]:
        """The windows that end in these frames, without random shift, in batches: all at once may not fit in memory."""
        rng, size = np.random.default_rng([self.seed, 2]), self.recipe.batch_size // self.frames
        for start in range(0, len(last), size):
            yield self._windows(last[start : start + size], rng, 0)

    def gather(self, indices: np.ndarray) -> dict[str, Tensor]:
        """These frames, each for itself, without random shift."""
        return self._tensors(self._make(indices, np.random.default_rng([self.seed, 2]), 0, 1))

    def targets(self, most: int) -> tuple[Tensor, Tensor]:
        """At most `most` frames to train on, as those of `spread`: actions (N, H, A) and state (N, S)."""
        chosen = self._whole(most)
        return torch.from_numpy(self.windows.targets[chosen]), torch.from_numpy(self.cache.state[chosen])

    def _whole(self, most: int) -> np.ndarray:
        """Frames (N,) to train on whose whole chunk is learnt; any, where there is none."""
        whole = self.train[self.windows.learnt[self.train].all(1)]
        frames = whole if len(whole) else self.train
        chosen: np.ndarray = frames[np.unique(np.linspace(0, len(frames) - 1, most).astype(int))]
        return chosen

    def _order(self, step: int) -> np.ndarray:
        """The windows of a step's batch over all processes: epoch after epoch, each in its own random order."""
        size = self.recipe.batch_size // self.frames
        shares = [size] if len(self._pools) == 1 else [size - size // 2, size // 2]
        return np.concatenate([self._from(pool, step, share) for pool, share in enumerate(shares)])

    def _from(self, pool: int, step: int, size: int) -> np.ndarray:
        """The windows of a step's batch that come from one pool, (size,)."""
        train = self._pools[pool]
        positions = np.arange(step * size, (step + 1) * size)
        epochs, within = np.divmod(positions, len(train))
        shuffled = [self._epoch(pool, epoch)[within[epochs == epoch]] for epoch in np.unique(epochs)]
        indices: np.ndarray = train[np.concatenate(shuffled)]
        return indices

    def _epoch(self, pool: int, epoch: int) -> np.ndarray:
        if self._shuffled.get(pool, (-1,))[0] != epoch:
            rng = np.random.default_rng([self.seed, 3, epoch, *([pool] if pool else [])])
            self._shuffled[pool] = epoch, rng.permutation(len(self._pools[pool]))
        return self._shuffled[pool][1]

    def _windows(self, last: np.ndarray, rng: np.random.Generator, shift: int) -> dict[str, Tensor]:
        """The windows that end in these frames.

        The last frame comes up to a stride after the one before it, as an inference between those that memory holds;
        without a memory it comes a stride after it.
        Where no frame is `there`, before the recording, the nearest one stands and is not learnt: where windows are as
        long as recordings, half of all that is learnt would be the first frame. Windows end in a recording, so that its
        last frames are in few: with those that end after it, each frame in as many, the same budget goes to the rest at
        the end, and Decision Transformer did 35 % in place of 62 (docs/results/sequence-2026-11.md).
        """
        if not self.remembers:
            return self._tensors(self._make(last, rng, shift, 1))
        first = 1 if self.between else self.stride
        grid = rng.integers(first, self.stride + 1, (len(last), 1)) + self.stride * np.arange(self.frames - 2, -1, -1)
        steps = np.concatenate([grid, np.zeros((len(last), 1), np.int64)], 1)[:, -self.frames :]
        rows, there, is_first = self.windows.before(last, steps, self.stride, self.compares)
        made, there = self._make(rows.reshape(-1), rng, shift, self.frames), there.reshape(-1)
        return self._tensors(made | {"is_first": is_first, "there": there, "mask": made["mask"] & there[:, None]})

    def _make(self, rows: np.ndarray, rng: np.random.Generator, shift: int, frames: int) -> dict[str, np.ndarray]:
        """What a policy reads and learns of frames (B,), of which `frames` in a row are one window."""
        batch = self.windows.batch(rows, rng, shift, frames)
        episode, windows = batch.pop("episode"), np.arange(len(rows)) // frames
        batch |= self.phrasings.draw("instruction", episode, windows, rng)
        if self.context is not None:
            context = self.context.draw(rows, windows, rng)
            previous = context.pop("previous_instruction")
            batch |= context | self.phrasings.draw("previous_instruction", previous, windows, rng)
        if "committed" in self.reads:
            horizon = batch["actions"].shape[1]
            steps = rng.integers(0, horizon // 2 + 1, len(rows)) * (rng.random(len(rows)) >= NOTHING_COMMITTED)
            batch |= {"committed": batch["actions"], "committed_steps": steps}
        if "goal_present" in self.reads:
            goals = self._goals(rows, episode, windows, rng)
            batch |= self.windows.images("goal", goals, rng, shift, frames) | {"goal_state": self.cache.state[goals]}
        returns = self.cache.returns[episode]
        batch["return_to_go"] = np.nan_to_num(returns)[:, None]
        given = {
            "instruction_present": True,
            "goal_present": ~self.cache.incomplete[episode] | (self.recipe.goal_steps > 0),
            "return_to_go_present": np.isfinite(returns),
        }
        for name in sorted(self.reads & set(given)):
            batch[name] = given[name] & (rng.random(len(rows) // frames) >= self.recipe.condition_dropout)[windows]
        names = self.reads | {"actions", "mask"}
        return {n: v for n, v in batch.items() if n in names} | {n: v[rows] for n, v in self.labels.items()}

    def _goals(
        self, rows: np.ndarray, episode: np.ndarray, windows: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """The frames (B,) that are the goals of these; those of one window and one episode have the same."""
        end: np.ndarray = self.cache.bounds[episode + 1] - 1
        if not self.recipe.goal_steps:
            return end
        pairs, which = np.unique(np.stack([windows, episode]), axis=1, return_inverse=True)
        last, which = np.zeros(pairs.shape[1], rows.dtype), which.reshape(-1)
        np.maximum.at(last, which, rows)
        ahead = last + rng.integers(1, self.recipe.goal_steps + 1, len(last))
        goals: np.ndarray = np.minimum(ahead[which], end)
        return goals

    @staticmethod
    def _tensors(batch: dict[str, np.ndarray]) -> dict[str, Tensor]:
        return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in batch.items()}


def picture_size(recipe: Recipe) -> int | None:
    """The pixels along each side of the images that a policy reads, None where it reads them as they are."""
    cameras = recipe.encoders.get("cameras")
    return None if cameras is None else int(cameras.size)


def _split(cache: Cache, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which episodes are held out and which are trained on, (E,) bool each.

    A bag of switches shows the frames of the recordings it was made of: it goes with them, and is in neither part where
    they are in both. What is new and what is to be kept are split apart, so that there is something of both to learn.
    """
    held, decided = set[str](), set[str]()
    for kept in (False, True):
        shown = {source for e in np.flatnonzero(cache.kept == kept) for source in cache.sources[e]} - decided
        held, decided = held | _held(shown, share, seed), decided | shown
    return (
        np.array([held.issuperset(of_episode) for of_episode in cache.sources]),
        np.array([held.isdisjoint(of_episode) for of_episode in cache.sources]),
    )


def _held(sources: set[str], share: float, seed: int) -> set[str]:
    """The recordings that are held out, each by its own name, so that one that is added changes nothing for the others.

    Only where that leaves no recording on a side that is to have one, the nearest goes there.
    """
    places = {source: _place(source, seed) for source in sources}
    order, wanted = sorted(places, key=lambda source: places[source]), round(share * len(places))
    count = sum(place < share for place in places.values())
    return set(order[: min(max(count, min(wanted, 1)), len(order) - min(len(order) - wanted, 1))])


def _place(source: str, seed: int) -> float:
    """A number from 0 to 1 for a recording, by its name and the seed alone."""
    return int.from_bytes(hashlib.sha256(f"{seed} {source}".encode()).digest()[:7]) / 256**7
