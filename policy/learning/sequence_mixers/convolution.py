"""Local convolution over frames (Decision ConvFormer: Local Filtering in MetaFormer is Sufficient for Decision Making).

    x -> norm -> each channel's weighted sum over the last `taps` frames -> added to x -> norm -> MLP -> added

Kim et al. 2023. The reach is layers * (taps - 1) frames back; the state is a ring of the inputs of each layer.
"""

from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from policy.learning.sequence_mixers.segments import shifted
from policy.learning.sequence_mixers.stacked import Stacked
from policy.ranges import PART, at_least


class Layer(nn.Module):
    """A depthwise causal convolution and an MLP, each added to its input."""

    def __init__(self, width: int, taps: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2, self.drop = nn.LayerNorm(width), nn.LayerNorm(width), nn.Dropout(dropout)
        self.taps = nn.Parameter(torch.randn(taps, width) / taps)  # [i]: of i frames ago
        self.tap_bias = nn.Parameter(torch.zeros(width))
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor, is_first: Tensor) -> Tensor:
        """x (B, T, width), is_first (B, T) to the shape of x."""
        u = self.norm1(x)
        return self._leave(x, sum((shifted(u, is_first, i) * tap for i, tap in enumerate(self.taps)), self.tap_bias))

    def step(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, width) and before (B, taps - 1, width), the newest last, to the same."""
        before = torch.cat([before, self.norm1(x)[:, None]], 1)
        return self._leave(x, (before.flip(1) * self.taps).sum(1) + self.tap_bias), before[:, 1:]

    def _leave(self, x: Tensor, mixed: Tensor) -> Tensor:
        x = x + self.drop(mixed)
        mlp: Tensor = self.drop(self.mlp(self.norm2(x)))
        return x + mlp


class Convolution(Stacked):
    """Layers of local convolution, each channel for itself."""

    @dataclass(frozen=True)
    class Settings:
        layers: int = 2
        taps: int = field(default=6, metadata=at_least(2))  # frames that each layer reads, the present one included
        dropout: float = field(default=0.1, metadata=PART)

    def __init__(self, settings: Settings, width: int, frames: int) -> None:
        super().__init__(settings, width, frames)
        self.settings, self.width = settings, width
        layers = [Layer(width, settings.taps, settings.dropout) for _ in range(settings.layers)]
        self.layers = cast("list[Layer]", nn.ModuleList(layers))
        self.norm = nn.LayerNorm(width)

    @property
    def state(self) -> dict[str, tuple[int, ...]]:
        """The last inputs of each layer."""
        return {"inputs": (len(self.layers), self.settings.taps - 1, self.width)}
