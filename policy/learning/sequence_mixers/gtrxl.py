"""Gated transformer over frames (GTrXL: Stabilizing Transformers for Reinforcement Learning, Parisotto et al. 2019).

    x -> norm -> attention -> ReLU -> y    x = gate(x, y)       and the same with an MLP
    r, z = sigmoid(W y + U x), the bias of z at -2    gate = (1 - z) x + z tanh(W y + U (r x))

A gate begins almost closed, so that training begins with each frame for itself.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from policy.learning.sequence_mixers import attention

CLOSED = 2.0  # of the bias by which a gate begins closed, the paper's b_g


class Gate(nn.Module):
    """Joins what a sub-layer gives with its input as a gated recurrent unit does."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.new, self.old = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, 2 * width, bias=False)
        self.candidate = nn.Linear(width, width, bias=False)
        self.bias = nn.Parameter(torch.full((width,), -CLOSED))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The input x and the sub-layer's y, (..., width) both, to the same shape."""
        reset, update, new = self.new(y).chunk(3, -1)
        old_reset, old_update = self.old(x).chunk(2, -1)
        z = (update + old_update + self.bias).sigmoid()
        candidate = (new + self.candidate((reset + old_reset).sigmoid() * x)).tanh()
        joined: Tensor = x + z * (candidate - x)
        return joined


class Layer(attention.Layer):
    """Attention over frames and an MLP, each joined with its input by a gate."""

    def __init__(self, width: int, heads: int, frames: int, dropout: float) -> None:
        super().__init__(width, heads, frames, dropout)
        self.gate1, self.gate2 = Gate(width), Gate(width)

    def _rest(self, x: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        x = self.gate1(x, self.drop(F.relu(self._attend(q, k, v, bias))))
        joined: Tensor = self.gate2(x, self.drop(F.relu(self.mlp(self.norm2(x)))))
        return joined


class GatedTransformer(attention.Attention):
    """Attention's ring of keys and values, with gates in place of the sums."""

    layer: ClassVar[type[attention.Layer]] = Layer
