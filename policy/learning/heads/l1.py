"""Regression of the whole chunk under the L1 loss (ACT, Zhao et al. 2023)."""

from dataclasses import dataclass

from torch import Tensor, nn

from policy.learning.heads.masked import masked_mean
from policy.learning.interfaces import Head, Prefix


class L1(Head):
    """A two-layer MLP; deterministic, so that it takes no noise."""

    @dataclass(frozen=True)
    class Settings:
        hidden: int = 256

    def __init__(self, settings: Settings, width: int, horizon: int, actions: int) -> None:
        super().__init__(settings, width, horizon, actions)
        self.shape = (horizon, actions)
        self.layers = nn.Sequential(
            nn.Linear(width, settings.hidden), nn.GELU(), nn.Linear(settings.hidden, horizon * actions)
        )

    def loss(self, features: Tensor, target: Tensor, mask: Tensor, prefix: Prefix | None) -> Tensor:
        """Mean absolute error over the steps that the mask (B, H) marks; see `Head.loss`."""
        return masked_mean((self.sample(features, None, prefix) - target).abs().mean(-1), mask)

    def sample(self, features: Tensor, noise: Tensor | None, prefix: Prefix | None) -> Tensor:
        """features (B, width) to a chunk (B, H, A); what is committed is among the features."""
        chunk: Tensor = self.layers(features).float().unflatten(-1, self.shape)
        return chunk
