"""What the world will be like when the chunk is over, read off the world queries.

DreamVLA: A Vision-Language-Action Model Dreamed with Comprehensive World Knowledge (Zhang et al. 2025).

    dynamic   what will have moved: numbers of the state, regions of each picture
    spatial   where it will be: the state then
    contact   whether the hand will touch something
"""

from collections.abc import Mapping
from typing import ClassVar, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from policy.data.pictures import Pictures
from policy.learning import recorded
from policy.learning.encoders.world_queries import QUERIES
from policy.learning.heads.masked import masked_mean
from policy.learning.interfaces import Features, Objective, Trained
from policy.learning.normalization import STD_FLOOR, Statistics, mean_tensor, std_tensor
from policy.spec import Spec

GRID = 6  # regions of a picture along each side
MOVED_STATE, MOVED_PICTURE = 0.1, 12.0  # from which something has moved: of a standard deviation, of 255
PIECE = 512  # frames whose pictures are compared at once


class Recorded(recorded.Recorded, Protocol):
    """What is read of policy.data.cache.Cache."""

    images: dict[str, Pictures]  # camera -> (N, h, w, channels)


class Forecasting(Objective):
    """Each world query predicts its part; the queries do not read each other, the action token reads all."""

    reads_tokens = True
    needs: ClassVar[Mapping[str, str]] = {"encoders": "world_queries"}
    mean: Tensor  # (S,)
    std: Tensor  # (S,)

    def __init__(self, spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__(spec, width, statistics)
        self.register_buffer("mean", mean_tensor(statistics["state_mean"]))
        self.register_buffer("std", std_tensor(statistics["state_std"]))
        states = len(spec.state)
        self.sizes = [states + len(spec.cameras) * GRID**2, states, 1]
        self.out = nn.ModuleList(nn.Linear(width, size) for size in self.sizes)

    @staticmethod
    def labels(cache: Recorded) -> np.ndarray:
        """What will have moved (S + C * GRID * GRID), the state then (S) and contact then, (N, ...) float32."""
        then = recorded.later(cache, cache.contract.horizon)
        std = np.maximum(np.asarray(cache.state).std(0), STD_FLOOR)
        moved = np.abs(cache.state[then] - cache.state) > MOVED_STATE * std
        regions = [_moved_regions(pictures, then) for pictures in cache.images.values()]
        contact = np.zeros(len(then), bool) if cache.contact is None else cache.contact[then]
        return np.concatenate([moved, *regions, cache.state[then], contact[:, None]], 1).astype(np.float32)

    def forward(self, features: Features, batch: dict[str, Tensor], policy: Trained) -> Tensor:
        """Cross-entropy of what moves and of contact, plus the mean absolute error of the normalised state."""
        queries = features.tokens["world_queries"]
        moving, then, contact = (out(queries[:, i]).float() for i, out in enumerate(self.out))
        moved, state, touched = torch.split(self.label(batch), self.sizes, 1)
        error = (then - (state - self.mean) / self.std).abs().mean(1)
        for logits, truth in ((moving, moved), (contact, touched)):
            error = error + F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(1)
        seen = batch["mask"][:, -1]  # where another instruction came before the chunk was over, it is not known
        return masked_mean(error, seen)

    def label(self, batch: dict[str, Tensor]) -> Tensor:
        """The labels of a batch."""
        return batch["forecasting"]


class ShuffledForecasting(Forecasting):
    """Forecasting's negative control: the labels are those of other frames."""

    @staticmethod
    def labels(cache: Recorded) -> np.ndarray:
        """The same labels, each at a random frame."""
        labels = Forecasting.labels(cache)
        return labels[np.random.default_rng(0).permutation(len(labels))]

    def label(self, batch: dict[str, Tensor]) -> Tensor:
        """The labels of a batch."""
        return batch["forecasting_shuffled"]


def _moved_regions(pictures: Pictures, then: np.ndarray) -> np.ndarray:
    """Which regions of each picture differ from those of the frame `then` (N,), (N, GRID * GRID) bool."""
    rows = []
    for begin in range(0, len(then), PIECE):
        now = torch.from_numpy(np.asarray(pictures[np.arange(begin, min(begin + PIECE, len(then)))], np.float32))
        after = torch.from_numpy(np.asarray(pictures[then[begin : begin + PIECE]], np.float32))
        change = (after - now).abs().mean(-1)[:, None]
        rows.append((F.adaptive_avg_pool2d(change, GRID).flatten(1) > MOVED_PICTURE).numpy())
    return np.concatenate(rows)


assert len(QUERIES) == 3  # one for each line of the docstring above
