"""Causal transformer over frames (Vaswani et al. 2017) with the keys and values of the last frames as its state."""

from dataclasses import dataclass, field
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from policy.learning.attention_heads import check_heads
from policy.learning.interfaces import SequenceMixer, State
from policy.learning.sequence_mixers.segments import visible
from policy.ranges import PART


class Layer(nn.Module):
    """Attention over frames and an MLP, each added to its input; a frame's distance is a learned bias of each head."""

    def __init__(self, width: int, heads: int, frames: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.frames, self.drop = heads, frames, nn.Dropout(dropout)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.distance = nn.Parameter(torch.zeros(heads, frames))  # [:, d]: d frames ago

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """x (B, T, width) and seen (B, T, T) bool to the shape of x."""
        q, k, v = (self._heads(part) for part in self.qkv(self.norm1(x)).chunk(3, -1))
        time = torch.arange(x.shape[1], device=x.device)
        bias = self.distance[:, (time[:, None] - time).clamp(0, self.frames - 1)]
        bias = torch.where(seen[:, None], bias, -1e9)
        return self._rest(x, q, k, v, bias)

    def step(self, x: Tensor, keys: Tensor, values: Tensor, filled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, width); keys and values (B, frames - 1, width) of the frames before, filled (B, frames - 1, 1) in 0..1.

        Returns x and the key and value (B, 1, width) of this frame.
        """
        x = x[:, None]
        q, key, value = self.qkv(self.norm1(x)).chunk(3, -1)
        seen = torch.cat([filled, torch.ones_like(filled[:, :1])], 1).transpose(1, 2)[:, None] > 0.5
        bias = torch.where(seen, self.distance.flip(1)[:, None], -1e9)
        k, v = torch.cat([keys, key], 1), torch.cat([values, value], 1)
        x = self._rest(x, self._heads(q), self._heads(k), self._heads(v), bias)
        return x[:, 0], key, value

    def _rest(self, x: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        x = x + self.drop(self._attend(q, k, v, bias))
        mlp: Tensor = self.drop(self.mlp(self.norm2(x)))
        return x + mlp

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + bias
        read: Tensor = self.out((scores.softmax(-1).to(v.dtype) @ v).transpose(1, 2).flatten(2))
        return read

    def _heads(self, x: Tensor) -> Tensor:
        """(B, T, width) to (B, heads, T, width / heads)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


class Attention(SequenceMixer):
    """Layers that read the last `frames` frames; the state is a ring of their keys and values, the newest last."""

    layer: ClassVar[type[Layer]] = Layer

    @dataclass(frozen=True)
    class Settings:
        layers: int = 2
        heads: int = 4
        dropout: float = field(default=0.1, metadata=PART)

    def __init__(self, settings: Settings, width: int, frames: int) -> None:
        super().__init__(settings, width, frames)
        check_heads("memory", width, settings.heads)
        self.width, self.frames = width, frames
        layers = [self.layer(width, settings.heads, frames, settings.dropout) for _ in range(settings.layers)]
        self.layers = cast("list[Layer]", nn.ModuleList(layers))
        self.norm = nn.LayerNorm(width)

    @property
    def state(self) -> dict[str, tuple[int, ...]]:
        """Keys and values of each layer for the frames before, and which of these there are."""
        before = self.frames - 1
        ring = (len(self.layers), before, self.width)
        return {"keys": ring, "values": ring, "filled": (before, 1)}

    def forward(self, x: Tensor, is_first: Tensor) -> Tensor:
        """x (B, T, width), is_first (B, T) bool to (B, T, width)."""
        seen = visible(is_first, self.frames)
        for layer in self.layers:
            x = layer(x, seen)
        normed: Tensor = self.norm(x)
        return normed

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x (B, width) to (B, width), with the keys and values of this frame in the state."""
        old_keys, old_values, filled = state["keys"], state["values"], state["filled"]
        keys, values = [], []
        for i, layer in enumerate(self.layers):
            x, key, value = layer.step(x, old_keys[:, i], old_values[:, i], filled)
            keys.append(key)
            values.append(value)
        return self.norm(x), {
            "keys": torch.cat([old_keys, torch.stack(keys, 1)], 2)[:, :, 1:],
            "values": torch.cat([old_values, torch.stack(values, 1)], 2)[:, :, 1:],
            "filled": torch.cat([filled, torch.ones_like(filled[:, :1])], 1)[:, 1:],
        }
