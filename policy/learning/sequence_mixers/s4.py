"""Structured state space with a reset inside the scan, diagonal.

    h = exp(dt A) h + (exp(dt A) - 1) / A u        y = 2 Re(C h) + D u        for each channel, A complex

After S4 (Efficiently Modeling Long Sequences with Structured State Spaces, Gu et al. 2021) in its diagonal form (On the
Parameterization and Initialization of Diagonal State Space Models, Gu et al. 2022), as Decision S4 (David et al. 2022)
uses it; the reset is that of Structured State Space Models for In-Context Reinforcement Learning (Lu et al. 2023).
Complex numbers are pairs of real ones in the step form, which is what a graph runs.
"""

import math
from dataclasses import dataclass, field
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from policy.learning.sequence_mixers.scan import scan
from policy.learning.sequence_mixers.stacked import Stacked
from policy.ranges import PART

DT_MIN, DT_MAX = 1e-3, 1e-1  # of the steps that training begins with, as S4's


class Layer(nn.Module):
    """A state space of `size` complex numbers for each channel, then a gated linear unit, added to its input."""

    def __init__(self, width: int, size: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.drop = nn.LayerNorm(width), nn.Dropout(dropout)
        steps = torch.rand(width) * (math.log(DT_MAX) - math.log(DT_MIN)) + math.log(DT_MIN)
        self.dt = nn.Parameter(steps)  # (W,) log
        self.decay = nn.Parameter(torch.full((width, size), 0.5).log())  # (W, N): A = -exp(decay) + i turn
        self.turn = nn.Parameter((math.pi * torch.arange(size).float()).repeat(width, 1))
        self.read = nn.Parameter(torch.randn(2, width, size) * 0.5**0.5)  # C: real and imaginary part
        self.skip = nn.Parameter(torch.ones(width))
        self.out = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor, is_first: Tensor) -> Tensor:
        """x (B, T, width), is_first (B, T) to the shape of x."""
        u = self.norm(x).float()
        (a, b), (p, q) = self._discrete()
        kept = (~is_first)[:, :, None, None].float()
        h = scan(kept * torch.complex(a, b), u[..., None] * torch.complex(p, q))
        return self._leave(x, u, h.real, h.imag)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, width) and h (B, 2, W, N), real and imaginary part, to the same."""
        u = self.norm(x).float()
        (a, b), (p, q) = self._discrete()
        real, imaginary = h.unbind(1)
        real, imaginary = a * real - b * imaginary + p * u[..., None], a * imaginary + b * real + q * u[..., None]
        return self._leave(x, u, real, imaginary), torch.stack([real, imaginary], 1)

    def _discrete(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """exp(dt A) and (exp(dt A) - 1) / A, (W, N) each, as real and imaginary part."""
        dt, real, imaginary = self.dt.exp()[:, None], -self.decay.exp(), self.turn
        size = (dt * real).exp()
        a, b = size * (dt * imaginary).cos(), size * (dt * imaginary).sin()
        norm = real.square() + imaginary.square()
        return (a, b), (((a - 1) * real + b * imaginary) / norm, (b * real - (a - 1) * imaginary) / norm)

    def _leave(self, x: Tensor, u: Tensor, real: Tensor, imaginary: Tensor) -> Tensor:
        y = 2 * (self.read[0] * real - self.read[1] * imaginary).sum(-1) + self.skip * u
        value, gate = self.out(self.drop(F.gelu(y).to(x.dtype))).chunk(2, -1)
        added: Tensor = value * gate.sigmoid()
        return x + added


class S4(Stacked):
    """Layers of diagonal structured state space; the state has one size, however long the past."""

    @dataclass(frozen=True)
    class Settings:
        layers: int = 2
        size: int = 16  # N, complex numbers for each channel
        dropout: float = field(default=0.1, metadata=PART)

    def __init__(self, settings: Settings, width: int, frames: int) -> None:
        super().__init__(settings, width, frames)
        self.shape = (settings.layers, 2, width, settings.size)
        layers = [Layer(width, settings.size, settings.dropout) for _ in range(settings.layers)]
        self.layers = cast("list[Layer]", nn.ModuleList(layers))
        self.norm = nn.LayerNorm(width)

    @property
    def state(self) -> dict[str, tuple[int, ...]]:
        """The recurrent state of each layer."""
        return {"recurrent": self.shape}
