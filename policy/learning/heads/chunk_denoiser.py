"""The network of the heads that make a chunk out of noise in several steps: a small transformer over its steps."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from policy.learning.attention_heads import check_heads
from policy.learning.interfaces import Head, Prefix

FREQUENCIES = 16  # of the embedding of time


class Layer(nn.Module):
    """Attention over the steps of a chunk and an MLP, scaled and gated by the condition (DiT, Peebles and Xie 2022)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.modulate = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x and condition (B, H, width) to the shape of x."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulate(F.silu(condition)).chunk(6, -1)
        qkv = self.qkv(self.norm(x) * (1 + scale1) + shift1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in qkv.chunk(3, -1))
        weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
        x = x + gate1 * self.out((weights.to(v.dtype) @ v).transpose(1, 2).flatten(2))
        changed: Tensor = x + gate2 * self.mlp(self.norm(x) * (1 + scale2) + shift2)
        return changed


class ChunkDenoiser(Head):
    """A small transformer over the steps of the chunk, each at a time of its own, which the feature conditions."""

    frequencies: Tensor

    @dataclass(frozen=True)
    class Settings:
        hidden: int = 128
        layers: int = 2
        heads: int = 4
        steps: int = 5  # while running

    def __init__(self, settings: Settings, width: int, horizon: int, actions: int) -> None:
        super().__init__(settings, width, horizon, actions)
        hidden, self.steps = settings.hidden, settings.steps
        check_heads("head", hidden, settings.heads, "hidden")
        self.noise = (horizon, actions)
        self.enter, self.leave = nn.Linear(actions, hidden), nn.Linear(hidden, actions)
        self.position = nn.Parameter(0.02 * torch.randn(horizon, hidden))
        self.feature = nn.Linear(width, hidden)
        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.layers = nn.ModuleList(Layer(hidden, settings.heads) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(hidden)
        rates = math.pi / 2 * torch.logspace(0, math.log10(200), FREQUENCIES)
        self.register_buffer("frequencies", rates, persistent=False)

    def network(self, x: Tensor, time: Tensor, features: Tensor) -> Tensor:
        """x (B, H, A) at time (B, H) in 0..1, given features (B, width), to the shape of x."""
        angles = time[..., None] * self.frequencies
        condition = self.time(torch.cat([angles.sin(), angles.cos()], -1)) + self.feature(features)[:, None]
        h = self.enter(x) + self.position
        for layer in self.layers:
            h = layer(h, condition)
        out: Tensor = self.leave(self.norm(h)).float()
        return out


def committed(x: Tensor, time: Tensor, prefix: Prefix | None, known: float) -> tuple[Tensor, Tensor]:
    """x (B, H, A) and time (B, H) with what is committed in its place, at the time `known`, without noise."""
    if prefix is None:
        return x, time
    return torch.where(prefix.mask[..., None], prefix.chunk, x), torch.where(prefix.mask, known, time)
