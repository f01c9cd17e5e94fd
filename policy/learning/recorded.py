"""What objectives read of the recordings, and the frames of a window beside each other."""

from typing import Protocol

import numpy as np
from torch import Tensor

from policy.robot.contract import Contract


class Recorded(Protocol):
    """What an objective reads of policy.data.cache.Cache."""

    contract: Contract
    state: np.ndarray  # (N, S)
    actions: np.ndarray  # (N, A)
    contact: np.ndarray | None  # (N,) bool
    episode: np.ndarray  # (N,)
    bounds: np.ndarray  # (E + 1,)


def later(cache: Recorded, steps: int) -> np.ndarray:
    """The frame `steps` frames after each (N,), the last one of its episode where that is over."""
    last: np.ndarray = cache.bounds[cache.episode + 1] - 1
    frames: np.ndarray = np.minimum(np.arange(len(last)) + steps, last)
    return frames


def same_episode(episode: Tensor, is_first: Tensor) -> Tensor:
    """Which neighbours (B, T - 1) are of one episode (B * T,), so that the set-points lead from one to the other."""
    now, following, valid = neighbours(episode, is_first)
    return valid & (now == following)


def neighbours(x: Tensor, is_first: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x (B * T, ...) of windows with is_first (B, T) as now and next (B, T - 1, ...), and where they are neighbours."""
    windows = x.view(*is_first.shape, *x.shape[1:])
    return windows[:, :-1], windows[:, 1:], ~is_first[:, 1:]
