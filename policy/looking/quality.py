"""How well episodes teach, after Data Quality in Imitation Learning (Belkhale, Cui, Sadigh 2023).

Each frame is compared with those of other episodes of the same task in which the robot was in the most alike state:

    action divergence       how far its action lies from theirs: people did different things in one state
    transition diversity    how far the robot went from where they went: the same actions had other effects

Only the robot's own state is compared, no picture: an object that lies elsewhere explains a part of both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from policy.looking.recording import LookedEpisode

NEIGHBOURS = 8
FRAMES = 3000  # of a task that are compared, evenly chosen where there are more
BLOCK = 500  # frames that are compared at once
FEWEST = 5  # episodes of a task among which one can stand out
FAR = 3.5  # deviations (1.48 MAD) from the median beyond which an episode stands out (Iglewicz and Hoaglin 1993)
LEAST = 0.1  # of the median: a smaller deviation is none
LATER = 5  # frames after which it is asked where the robot went


@dataclass(frozen=True)
class Quality:
    """Means over the frames of an episode, in standard deviations of its task; None where it is the only episode."""

    divergence: float | None = None
    diversity: float | None = None
    outlier: str = ""  # why it stands out


def rate(episodes: Sequence[LookedEpisode], base: Sequence[int | None]) -> list[Quality]:
    """The quality of each episode among those of its task.

    `base` (A,) is the place in the state from which each value of the action is counted, None for from zero.
    """
    qualities = [Quality() for _ in episodes]
    for kind in dict.fromkeys(episode.kind for episode in episodes):
        rows = [i for i, episode in enumerate(episodes) if episode.kind == kind]
        if len(rows) > 1:
            for i, quality in zip(rows, _task([episodes[i] for i in rows], base), strict=True):
                qualities[i] = quality
    return qualities


def _task(episodes: list[LookedEpisode], base: Sequence[int | None]) -> list[Quality]:
    stride = max(1, -(-sum(len(episode.state) for episode in episodes) // FRAMES))
    of = np.concatenate([np.full(len(e.state[::stride]), i) for i, e in enumerate(episodes)])
    state = _standardised(np.concatenate([e.state[::stride] for e in episodes]))
    action = _standardised(np.concatenate([_relative(e, base)[::stride] for e in episodes]))
    went = _standardised(np.concatenate([_went(e)[::stride] for e in episodes]))
    apart = np.array([_from_others(of, state, values) for values in (action, went)])
    means = np.array([apart[:, of == i].mean(1) for i in range(len(episodes))]).T
    lengths = np.array([episode.seconds[-1] for episode in episodes])
    reasons = _outliers({"action divergence": means[0], "transition diversity": means[1], "length [s]": lengths})
    return [Quality(float(a), float(b), why) for a, b, why in zip(*means, reasons, strict=True)]


def _from_others(of: np.ndarray, state: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How far the values (N, D) of each frame lie from the mean of those in the states most like it, (N,)."""
    apart = np.empty(len(of))
    for first in range(0, len(of), BLOCK):
        rows = slice(first, first + BLOCK)
        distance = ((state[rows, None] - state[None]) ** 2).sum(-1)
        distance[of[rows, None] == of[None]] = np.inf
        nearest = np.argpartition(distance, min(NEIGHBOURS, len(of) - 1) - 1, axis=1)[:, :NEIGHBOURS]
        apart[rows] = np.linalg.norm(values[rows] - values[nearest].mean(1), axis=1) / np.sqrt(values.shape[1])
    return apart


def _outliers(measures: dict[str, np.ndarray]) -> list[str]:
    """Why each episode stands out by one of the measures (N,), "" where it does not."""
    number = len(next(iter(measures.values())))
    reasons: list[list[str]] = [[] for _ in range(number)]
    for name, values in measures.items() if number >= FEWEST else ():
        middle = float(np.median(values))
        deviation = 1.4826 * float(np.median(np.abs(values - middle)))
        for i, value in enumerate(values):
            if abs(value - middle) > FAR * max(deviation, LEAST * middle):
                reasons[i].append(f"{name} {value:.2f}, median {middle:.2f}")
    return ["; ".join(found) for found in reasons]


def _relative(episode: LookedEpisode, base: Sequence[int | None]) -> np.ndarray:
    """Actions (T, A) as changes from the state, as they are learnt."""
    measured = episode.state[:, [place or 0 for place in base]]
    known = np.array([place is not None for place in base])
    relative: np.ndarray = episode.actions - np.where(known, measured, 0.0)
    return relative


def _went(episode: LookedEpisode) -> np.ndarray:
    """The change of the state (T, S) until LATER."""
    later = np.minimum(np.arange(len(episode.state)) + LATER, len(episode.state) - 1)
    change: np.ndarray = episode.state[later] - episode.state
    return change


def _standardised(values: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = (values - values.mean(0)) / np.maximum(values.std(0), 1e-6)
    return scaled
