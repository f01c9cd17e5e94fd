"""Regression of the whole chunk under the L1 loss (ACT, Zhao et al. 2023)."""

from dataclasses import dataclass

from torch import Tensor, nn


class L1(nn.Module):
    """A two-layer MLP; it draws nothing, so its `noise` stays None."""

    @dataclass(frozen=True)
    class Settings:
        hidden: int = 256

    def __init__(self, settings: "L1.Settings", width: int, horizon: int, actions: int) -> None:
        super().__init__()
        self.shape = (horizon, actions)
        self.layers = nn.Sequential(
            nn.Linear(width, settings.hidden), nn.GELU(), nn.Linear(settings.hidden, horizon * actions)
        )

    def loss(self, features: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Mean absolute error over the steps that the mask marks as recorded."""
        error = (self.sample(features, None) - target).abs().mean(-1)
        return (error * mask).sum() / mask.sum().clamp(min=1)

    def sample(self, features: Tensor, noise: Tensor | None) -> Tensor:
        return self.layers(features).float().unflatten(-1, self.shape)
