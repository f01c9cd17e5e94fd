"""Layers one after the other, each with a state of its own: what most sequence mixers are."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from policy.learning.interfaces import SequenceMixer, State


class Stacked(SequenceMixer):
    """A mixer of `layers` and a `norm` after them.

    A layer has `forward(x, is_first)` and `step(x, *its states)`, which returns x and its states after it, in the
    order of `state`; there each has the layers first.
    """

    layers: Sequence[Any]
    norm: nn.LayerNorm

    def forward(self, x: Tensor, is_first: Tensor) -> Tensor:
        """x (B, T, width), is_first (B, T) bool to (B, T, width)."""
        for layer in self.layers:
            x = layer(x, is_first)
        normed: Tensor = self.norm(x)
        return normed

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x (B, width) to (B, width), and the state after it."""
        after: dict[str, list[Tensor]] = {name: [] for name in self.state}
        for i, layer in enumerate(self.layers):
            x, *own = layer.step(x, *(state[name][:, i] for name in after))
            for kept, new in zip(after.values(), own, strict=True):
                kept.append(new)
        return self.norm(x), {name: torch.stack(kept, 1) for name, kept in after.items()}
