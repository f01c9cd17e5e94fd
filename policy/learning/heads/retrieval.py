"""Search in the demonstrations: the chunk that was recorded where the feature was most like this one.

Behavioral Cloning via Search in Embedded Demonstration Dataset (Malato et al. 2022); chunks of several near frames are
weighted as in The Surprising Effectiveness of Representation Learning for Visual Imitation (VINN, Pari et al. 2021).
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from policy.learning.heads.masked import masked_mean
from policy.learning.interfaces import Head, Prefix
from policy.ranges import POSITIVE

FAR = 1e6  # a distance at which nothing is weighed


class Retrieval(Head):
    """The index, features and chunks of frames of the recordings, is part of the graph, and is made at export.

    Exported with other recordings the same weights do another task. In training the features learn by regression.
    """

    keys: Tensor  # (N, width)
    chunks: Tensor  # (N, H, A)
    absent: Tensor  # (N,) what is added to the distance: FAR of entries that there is no frame for

    @dataclass(frozen=True)
    class Settings:
        hidden: int = 256  # of the regression
        entries: int = 2000  # N, frames of the index
        # of the mean squared distance: how sharply the nearest is preferred
        temperature: float = field(default=0.005, metadata=POSITIVE)
        shuffled: bool = False  # for the control: the chunks are those of other frames

    def __init__(self, settings: Settings, width: int, horizon: int, actions: int) -> None:
        super().__init__(settings, width, horizon, actions)
        self.settings, self.indexed, self.shape = settings, settings.entries, (horizon, actions)
        self.layers = nn.Sequential(
            nn.Linear(width, settings.hidden), nn.GELU(), nn.Linear(settings.hidden, horizon * actions)
        )
        self.register_buffer("keys", torch.zeros(settings.entries, width))
        self.register_buffer("chunks", torch.zeros(settings.entries, horizon, actions))
        self.register_buffer("absent", torch.zeros(settings.entries))

    def loss(self, features: Tensor, target: Tensor, mask: Tensor, prefix: Prefix | None) -> Tensor:
        """Mean absolute error of a regression, over the steps that the mask (B, H) marks."""
        chunk = self.layers(features).float().unflatten(-1, self.shape)
        return masked_mean((chunk - target).abs().mean(-1), mask)

    def index(self, features: Tensor, targets: Tensor) -> None:
        """Features (N, width) and chunks (N, H, A), at most `entries`; the other entries are absent."""
        rows = torch.arange(len(self.keys)) % len(features)
        self.absent.copy_((torch.arange(len(self.keys)) >= len(features)) * FAR)
        others = torch.randperm(len(features), generator=torch.Generator().manual_seed(0))
        self.keys.copy_(features[rows])
        self.chunks.copy_(targets[others[rows]] if self.settings.shuffled else targets[rows])

    def sample(self, features: Tensor, noise: Tensor | None, prefix: Prefix | None) -> Tensor:
        """features (B, width) to the weighted mean of the nearest chunks (B, H, A)."""
        away = (self.keys - features.float()[:, None]).square().mean(-1)  # not expanded: that would lose digits
        if prefix is not None:  # a chunk far from what is committed does not continue it
            other = (prefix.chunk[:, None] - self.chunks).square().mean(-1) * prefix.mask[:, None]
            away = away + other.sum(-1)
        away = away + self.absent
        weights = (-away / self.settings.temperature).softmax(-1)
        chunk: Tensor = weights @ self.chunks.flatten(1)
        return chunk.view(-1, *self.shape)
