"""Selective state space over frames (Mamba, Gu and Dao 2023) in plain torch, with a reset inside the window.

    x -> norm -> (u, z)    u -> short convolution -> SiLU -> h = decay * h + dt * B u,  y = C h + D u
                                                             y * SiLU(z) -> out, added to x

decay = exp(-dt * A), and dt, B, C depend on u. A boundary sets the decay to 0, so that nothing of before it is left.
"""

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from policy.learning.sequence_mixers.scan import states
from policy.learning.sequence_mixers.segments import shifted
from policy.learning.sequence_mixers.stacked import Stacked

DT_MIN, DT_MAX = 1e-3, 1e-1  # of the steps that training begins with, as Mamba's


class Layer(nn.Module):
    """One selective state space of E = 2 * width channels with N numbers each, added to its input."""

    rates: Tensor  # (E, N), log

    def __init__(self, width: int, size: int, taps: int) -> None:
        super().__init__()
        inner, self.size, self.rank = 2 * width, size, max(1, width // 16)
        self.norm = nn.LayerNorm(width)
        self.enter, self.out = nn.Linear(width, 2 * inner, bias=False), nn.Linear(inner, width, bias=False)
        self.taps = nn.Parameter(torch.randn(taps, inner) / taps)  # [i]: of i frames ago
        self.tap_bias = nn.Parameter(torch.zeros(inner))
        self.select = nn.Linear(inner, self.rank + 2 * size, bias=False)
        self.dt = nn.Linear(self.rank, inner)
        self.rates = nn.Parameter(torch.arange(1, size + 1).float().log().repeat(inner, 1))
        self.skip = nn.Parameter(torch.ones(inner))
        steps = (torch.rand(inner) * (math.log(DT_MAX) - math.log(DT_MIN)) + math.log(DT_MIN)).exp()
        with torch.no_grad():
            self.dt.bias.copy_(steps + (-torch.expm1(-steps)).log())  # the inverse of softplus

    def forward(self, x: Tensor, is_first: Tensor) -> Tensor:
        """x (B, T, width), is_first (B, T) bool to the shape of x."""
        u, z = self.enter(self.norm(x)).chunk(2, -1)
        u = F.silu(sum((shifted(u, is_first, i) * tap for i, tap in enumerate(self.taps)), self.tap_bias))
        decay, added, read = self._selected(u)
        return self._leave(x, u, z, read_all(decay * (~is_first)[:, :, None, None], added, read))

    def step(self, x: Tensor, h: Tensor, before: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, width), h (B, E, N), before (B, taps - 1, E), the newest last, to the same."""
        u, z = self.enter(self.norm(x)).chunk(2, -1)
        before = torch.cat([before, u[:, None]], 1)
        u = F.silu((before.flip(1) * self.taps).sum(1) + self.tap_bias)
        decay, added, read = self._selected(u)
        h = decay * h + added
        return self._leave(x, u, z, _read(h, read)), h, before[:, 1:]

    def _selected(self, u: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """u (..., E) to decay and addition (..., E, N) and C (..., N), in float32.

        What is not `present` (...) takes no time: it adds nothing, and nothing decays.
        """
        low, enter, read = self.select(u).float().split([self.rank, self.size, self.size], -1)
        dt = F.softplus(self.dt(low.to(u.dtype)).float())[..., None]
        if present is not None:
            dt = dt * present[..., None, None]
        return (-dt * self.rates.exp()).exp(), dt * u.float()[..., None] * enter[..., None, :], read

    def _leave(self, x: Tensor, u: Tensor, z: Tensor, y: Tensor) -> Tensor:
        added: Tensor = self.out((y.to(u.dtype) + self.skip * u) * F.silu(z))
        return x + added


def _read(h: Tensor, read: Tensor) -> Tensor:
    """State (B, E, N) and C (B, N) to what is read of it, (B, E)."""
    return (h @ read[..., None])[..., 0]


def read_all(decay: Tensor, added: Tensor, read: Tensor) -> Tensor:
    """What is read of the state of each frame, (B, T, E)."""
    frames = zip(states(decay, added), read.unbind(1), strict=True)
    return torch.stack([_read(h, of_frame) for h, of_frame in frames], 1)


class StateSpace(Stacked):
    """Layers of selective state space; the state has one size, however long the past."""

    @dataclass(frozen=True)
    class Settings:
        layers: int = 2
        size: int = 16  # N, numbers for each channel
        taps: int = 4  # frames of the short convolution

    def __init__(self, settings: Settings, width: int, frames: int) -> None:
        super().__init__(settings, width, frames)
        self.settings, self.inner = settings, 2 * width
        layers = [Layer(width, settings.size, settings.taps) for _ in range(settings.layers)]
        self.layers = cast("list[Layer]", nn.ModuleList(layers))
        self.norm = nn.LayerNorm(width)

    @property
    def state(self) -> dict[str, tuple[int, ...]]:
        """The recurrent state of each layer, and the inputs of its short convolution."""
        s, layers = self.settings, len(self.layers)
        return {"recurrent": (layers, self.inner, s.size), "inputs": (layers, s.taps - 1, self.inner)}
