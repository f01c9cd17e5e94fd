"""Gated recurrent units (Cho et al. 2014) over frames, begun as Tallec and Ollivier (2018) do."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from policy.learning.sequence_mixers.stacked import Stacked


class Layer(nn.Module):
    """One recurrent layer, added to its input; its memories begin as long as 1 to `frames` frames."""

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.read, self.carry = nn.Linear(width, 3 * width), nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        with torch.no_grad():
            self.read.bias[width : 2 * width] = (1 + (frames - 1) * torch.rand(width)).log()

    def forward(self, x: Tensor, is_first: Tensor) -> Tensor:
        """x (B, T, width), is_first (B, T) to the shape of x."""
        read, kept = self.read(self.norm(x)), (~is_first).to(x.dtype)
        h, outputs = torch.zeros_like(x[:, 0]), []
        for t in range(x.shape[1]):
            h = self._next(read[:, t], h * kept[:, t, None])
            outputs.append(h)
        added: Tensor = self.out(torch.stack(outputs, 1))
        return x + added

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """x and h (B, width) to the same."""
        h = self._next(self.read(self.norm(x)), h)
        return x + self.out(h), h

    def _next(self, read: Tensor, h: Tensor) -> Tensor:
        reset, update, new = read.chunk(3, -1)
        carried_reset, carried_update, carried_new = self.carry(h).chunk(3, -1)
        gate = (update + carried_update).sigmoid()
        candidate = (new + (reset + carried_reset).sigmoid() * carried_new).tanh()
        following: Tensor = candidate + gate * (h - candidate)
        return following


class GRU(Stacked):
    """Recurrent layers; the state is one vector for each, however long the past."""

    @dataclass(frozen=True)
    class Settings:
        layers: int = 1

    def __init__(self, settings: Settings, width: int, frames: int) -> None:
        super().__init__(settings, width, frames)
        self.width = width
        self.layers = cast("list[Layer]", nn.ModuleList(Layer(width, frames) for _ in range(settings.layers)))
        self.norm = nn.LayerNorm(width)

    @property
    def state(self) -> dict[str, tuple[int, ...]]:
        """The hidden vector of each layer."""
        return {"hidden": (len(self.layers), self.width)}
