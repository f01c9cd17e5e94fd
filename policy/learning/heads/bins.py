"""Classification of each number of the chunk on its own into bins of equal size (RT-1, Brohan et al. 2022)."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from policy.learning.heads.masked import masked_mean
from policy.learning.interfaces import Head, Prefix
from policy.ranges import at_least


class Bins(Head):
    """The most probable bin of each dimension and step; between two modes each dimension chooses for itself."""

    low: Tensor  # (H, A)
    high: Tensor  # (H, A)

    @dataclass(frozen=True)
    class Settings:
        bins: int = field(default=256, metadata=at_least(2))  # of one there is nothing to choose
        hidden: int = 256
        size: int = 32  # of the feature of each number, from which all read their bins alike

    def __init__(self, settings: Settings, width: int, horizon: int, actions: int) -> None:
        super().__init__(settings, width, horizon, actions)
        self.settings, self.shape = settings, (horizon, actions, settings.size)
        self.layers = nn.Sequential(
            nn.Linear(width, settings.hidden),
            nn.GELU(),
            nn.Linear(settings.hidden, horizon * actions * settings.size),
            nn.GELU(),
        )
        self.logits = nn.Linear(settings.size, settings.bins)
        self.register_buffer("low", torch.full((horizon, actions), -3.0))
        self.register_buffer("high", torch.full((horizon, actions), 3.0))

    def prepare(self, targets: Tensor) -> None:
        """The bins lie between the smallest and the largest target."""
        self.low.copy_(targets.amin(0))
        self.high.copy_(torch.maximum(targets.amax(0), self.low + 1e-3))

    @torch.no_grad()
    def go_on(self, targets: Tensor) -> str:
        """The bins lie between the smallest and the largest target of all data so far; moved, they are learnt anew."""
        low = torch.minimum(self.low, targets.amin(0))
        high = torch.maximum(self.high, targets.amax(0))
        wider = int(((low < self.low) | (high > self.high)).sum())
        if not wider:
            return ""
        self.low.copy_(low)
        self.high.copy_(high)
        self.logits.reset_parameters()
        return (
            f"the new data go beyond the bins of these weights in {wider} of {low.numel()} numbers of the chunk: the "
            "bins are wider now, and which of them is meant is learnt anew"
        )

    def loss(self, features: Tensor, target: Tensor, mask: Tensor, prefix: Prefix | None) -> Tensor:
        """Cross-entropy over the steps that the mask (B, H) marks; see `Head.loss`."""
        share = (target - self.low) / (self.high - self.low)
        bins = (share * self.settings.bins).long().clamp(0, self.settings.bins - 1)
        logits = self._logits(features).flatten(0, -2)  # bins last: they lie side by side in memory
        entropy = F.cross_entropy(logits, bins.flatten(), reduction="none").view_as(target)
        return masked_mean(entropy.mean(-1), mask)

    def sample(self, features: Tensor, noise: Tensor | None, prefix: Prefix | None) -> Tensor:
        """features (B, width) to the middles of the most probable bins (B, H, A)."""
        share = (self._logits(features).argmax(-1) + 0.5) / self.settings.bins
        return self.low + share * (self.high - self.low)

    def _logits(self, features: Tensor) -> Tensor:
        logits: Tensor = self.logits(self.layers(features).unflatten(-1, self.shape)).float()
        return logits
