"""Gated linear attention over frames (Recurrent Linear Transformers, Pramanik et al. 2023), one cost for any past.

    s = (1 - gamma) s + gamma phi(k)
    C = (1 - beta)(1 - gamma)^T C + (beta v)(gamma phi(k))^T           read = C phi(q) / s phi(q)

phi is learnt: the products of two rectified projections. Both gates decide how much of the past each frame replaces.
As in the paper the layers are joined by the gates of GTrXL. A boundary sets the decay to 0.
"""

from dataclasses import dataclass, field
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from policy.learning.attention_heads import check_heads
from policy.learning.sequence_mixers.gtrxl import Gate
from policy.learning.sequence_mixers.scan import scan
from policy.learning.sequence_mixers.stacked import Stacked
from policy.ranges import PART

SMALL = 1e-5


class Layer(nn.Module):
    """One gated linear attention of several heads of `size` numbers and an MLP, joined with their inputs by gates."""

    def __init__(self, width: int, heads: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.expansion, self.drop = heads, expansion, nn.Dropout(dropout)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project = nn.Linear(width, 5 * width)  # q, k, v, beta, gamma
        self.expand = nn.Linear(width, 3 * heads * expansion)  # of q, k, gamma
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.gate1, self.gate2 = Gate(width), Gate(width)

    def forward(self, x: Tensor, is_first: Tensor) -> Tensor:
        """x (B, T, width), is_first (B, T) to the shape of x."""
        query, key, value, forget_key, forget = self._read(x)
        kept = (~is_first)[:, :, None, None].float()
        total = scan(kept * forget_key, key)
        matrix = scan(kept[..., None] * forget, value[..., None] * key[..., None, :])
        return self._leave(x, query, total, matrix)

    def step(self, x: Tensor, total: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, width), total (B, heads, n) and matrix (B, heads, d, n) to the same."""
        query, key, value, forget_key, forget = self._read(x)
        total = forget_key * total + key
        matrix = forget * matrix + value[..., None] * key[..., None, :]
        return self._leave(x, query, total, matrix), total, matrix

    def _read(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """x (..., width) to phi(q), gamma phi(k) (..., heads, n), beta v (..., heads, d) and the decays of both."""
        normed = self.norm1(x)
        q, k, v, beta, gamma = (
            part.unflatten(-1, (self.heads, -1)) for part in self.project(normed).float().chunk(5, -1)
        )
        more_q, more_k, more_gamma = (
            part.unflatten(-1, (self.heads, -1)) for part in self.expand(normed).float().chunk(3, -1)
        )
        beta, gamma = beta.sigmoid(), _products(gamma.sigmoid(), more_gamma.sigmoid())
        key = gamma * _products(F.relu(k), F.relu(more_k))
        forget = (1 - beta)[..., None] * (1 - gamma)[..., None, :]
        return _products(F.relu(q), F.relu(more_q)), key, beta * v, 1 - gamma, forget

    def _leave(self, x: Tensor, query: Tensor, total: Tensor, matrix: Tensor) -> Tensor:
        read = (matrix * query[..., None, :]).sum(-1) / ((total * query).sum(-1, keepdim=True) + SMALL)
        x = self.gate1(x, self.drop(F.relu(self.out(read.flatten(-2).to(x.dtype)))))
        joined: Tensor = self.gate2(x, self.drop(F.relu(self.mlp(self.norm2(x)))))
        return joined


class LinearAttention(Stacked):
    """Layers of gated linear attention; the state is one matrix and one vector a head, however long the past."""

    @dataclass(frozen=True)
    class Settings:
        layers: int = 2
        heads: int = 4
        expansion: int = 2  # keys are this many times as long as values
        dropout: float = field(default=0.1, metadata=PART)

    def __init__(self, settings: Settings, width: int, frames: int) -> None:
        super().__init__(settings, width, frames)
        check_heads("memory", width, settings.heads)
        self.settings, self.size = settings, width // settings.heads
        layers = [Layer(width, settings.heads, settings.expansion, settings.dropout) for _ in range(settings.layers)]
        self.layers = cast("list[Layer]", nn.ModuleList(layers))
        self.norm = nn.LayerNorm(width)

    @property
    def state(self) -> dict[str, tuple[int, ...]]:
        """The sum of the keys, and of the values by keys, of each layer and head."""
        s, keys = self.settings, self.size * self.settings.expansion
        return {"keys": (s.layers, s.heads, keys), "values": (s.layers, s.heads, self.size, keys)}


def _products(first: Tensor, second: Tensor) -> Tensor:
    """(..., d) and (..., e) to all products (..., d * e)."""
    return (first[..., :, None] * second[..., None, :]).flatten(-2)
