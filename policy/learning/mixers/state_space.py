"""Selective state space over the tokens of one frame: the fine branch of Decision Mamba.

Decision Mamba: A Multi-Grained State Space Model with Self-Evolution Regularization for Offline RL (Lv et al. 2024)
mixes the steps of a trajectory (coarse: the sequence mixer `state_space`) and the tokens inside each step (fine).
"""

from dataclasses import dataclass
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from policy.errors import InputError
from policy.learning.interfaces import Mixer
from policy.learning.sequence_mixers import state_space


class Layer(state_space.Layer):
    """One selective state space along the tokens of a frame."""

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """x (B, n, width), present (B or 1, n) bool to the shape of x."""
        u, z = self.enter(self.norm(x)).chunk(2, -1)
        padded = F.pad(u * present[..., None], (0, 0, len(self.taps) - 1, 0))
        shifted = (padded[:, len(self.taps) - 1 - i :][:, : x.shape[1]] * tap for i, tap in enumerate(self.taps))
        u = F.silu(sum(shifted, self.tap_bias))
        return self._leave(x, u, z, state_space.read_all(*self._selected(u, present)))


class StateSpace(Mixer):
    """Layers that scan the tokens in their order, each added to its input; an absent token changes no state."""

    @dataclass(frozen=True)
    class Settings:
        layers: int = 2
        size: int = 16  # N, numbers for each channel
        taps: int = 4  # tokens of the short convolution

    def __init__(self, settings: Settings, width: int, tokens: int, readable: Tensor | None = None) -> None:
        super().__init__(settings, width, tokens, readable)
        if readable is not None:
            raise InputError(
                "the mixer state_space reads all tokens before each, and an encoder of this recipe has tokens that are "
                "not to read each other; take the mixer transformer"
            )
        layers = [Layer(width, settings.size, settings.taps) for _ in range(settings.layers)]
        self.layers = cast("list[Layer]", nn.ModuleList(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, mask: Tensor, last: bool = False) -> Tensor:
        """tokens (B, n, width) and mask (B or 1, n) to (B, n, width); see `Mixer.forward`."""
        x = tokens
        for layer in self.layers:
            x = layer(x, mask)
        mixed: Tensor = self.norm(x[:, -1:] if last else x)
        return mixed
