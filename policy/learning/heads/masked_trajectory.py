"""Masked trajectories: one network for all that can be asked of a short piece of one, the mask being the question.

Masked Trajectory Models for Prediction, Representation, and Control (Wu et al. 2023).

    tokens    feature, actions 1, state 1, ..., actions K, state K        a chunk in K parts, the state after each
    masks     policy: only the feature is known        forward dynamics: and the actions        inverse: and the states

The head is the network under the mask of a policy; the objective trains it under random masks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from policy.errors import InputError
from policy.learning.attention_heads import check_heads
from policy.learning.heads.masked import masked_mean
from policy.learning.interfaces import Features, Head, Objective, Prefix, Trained
from policy.learning.normalization import Statistics, mean_tensor, std_tensor
from policy.learning.recorded import Recorded, later
from policy.spec import Spec

PARTS = 4  # K


class Layer(nn.Module):
    """Attention of all tokens to all, and an MLP, each added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, n, width) to the same shape."""
        parts = self.qkv(self.norm1(x)).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
        x = x + self.out((weights.to(v.dtype) @ v).transpose(1, 2).flatten(2))
        mixed: Tensor = x + self.mlp(self.norm2(x))
        return mixed


class MaskedTrajectory(Head):
    """A bidirectional transformer over the parts of a chunk and the states after them."""

    @dataclass(frozen=True)
    class Settings:
        hidden: int = 128
        layers: int = 2
        heads: int = 4

    def __init__(self, settings: Settings, width: int, horizon: int, actions: int) -> None:
        super().__init__(settings, width, horizon, actions)
        hidden = settings.hidden
        if horizon % PARTS:
            raise InputError(
                f"head masked_trajectory: the contract's horizon {horizon} does not divide into {PARTS} parts; change "
                "it, or take another head"
            )
        check_heads("head", hidden, settings.heads, "hidden")
        self.part = horizon // PARTS, actions
        self.feature = nn.Linear(width, hidden)
        self.enter = nn.Linear(horizon // PARTS * actions, hidden)
        self.leave = nn.Linear(hidden, horizon // PARTS * actions)
        self.unknown = nn.Parameter(0.02 * torch.randn(2, hidden))  # stands for an action part, for a state
        self.position = nn.Parameter(0.02 * torch.randn(1 + 2 * PARTS, hidden))
        self.layers = nn.ModuleList(Layer(hidden, settings.heads) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(hidden)

    def loss(self, features: Tensor, target: Tensor, mask: Tensor, prefix: Prefix | None) -> Tensor:
        """Mean absolute error under the mask of a policy, over the steps that the mask (B, H) marks."""
        return masked_mean((self.sample(features, None, prefix) - target).abs().mean(-1), mask)

    def sample(self, features: Tensor, noise: Tensor | None, prefix: Prefix | None) -> Tensor:
        """features (B, width) to a chunk (B, H, A)."""
        actions = self.unknown[0].expand(features.shape[0], PARTS, -1)
        states = self.unknown[1].expand(features.shape[0], PARTS, -1)
        return self.filled(features, actions, states)[0]

    def filled(self, features: Tensor, actions: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """Feature (B, width), tokens of actions and states (B, K, hidden) to chunk (B, H, A) and state tokens."""
        pairs = torch.stack([actions, states], 2).flatten(1, 2)
        x = torch.cat([self.feature(features)[:, None], pairs.to(features.dtype)], 1) + self.position
        for layer in self.layers:
            x = layer(x)
        x = self.norm(x)[:, 1:].unflatten(1, (PARTS, 2))
        return self.leave(x[:, :, 0]).float().unflatten(-1, self.part).flatten(1, 2), x[:, :, 1]

    def action_tokens(self, chunk: Tensor, known: Tensor) -> Tensor:
        """A chunk (B, H, A), normalised, as tokens (B, K, hidden), those of parts that are not known (B, K) hidden."""
        tokens = self.enter(chunk.reshape(*known.shape, -1))
        return torch.where(known[..., None], tokens, self.unknown[0].to(tokens.dtype))


class MaskedTrajectoryObjective(Objective):
    """Fills in what a random mask hides of the actions of a chunk and of the states after its parts."""

    needs: ClassVar[Mapping[str, str]] = {"head": "masked_trajectory"}
    mean: Tensor  # (S,)
    std: Tensor  # (S,)

    def __init__(self, spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__(spec, width, statistics)
        self.register_buffer("mean", mean_tensor(statistics["state_mean"]))
        self.register_buffer("std", std_tensor(statistics["state_std"]))

    def begin(self, policy: Trained) -> None:
        """The states' own layers, of the size of the head's."""
        hidden = cast(MaskedTrajectory, policy.head).unknown.shape[1]
        self.enter, self.leave = nn.Linear(len(self.mean), hidden), nn.Linear(hidden, len(self.mean))

    @staticmethod
    def labels(cache: Recorded) -> np.ndarray:
        """The states (N, K, S) after each part of the chunk."""
        part = cache.contract.horizon // PARTS
        return np.stack([cache.state[later(cache, part * (k + 1))] for k in range(PARTS)], 1)

    def forward(self, features: Features, batch: dict[str, Tensor], policy: Trained) -> Tensor:
        """Mean absolute error of what is hidden: actions where they are to be learnt, and states."""
        part = batch["mask"].shape[1] // PARTS
        own = batch["mask"].reshape(-1, PARTS, part).all(-1)  # after an instruction that was left, no part is its own
        known = self.known(len(own), own.device) & own
        chunk, states = self.filled(features.mixed, batch["target"], self.normalised(batch), known, policy)
        learnt = batch["learnt"] & ~known[0].repeat_interleave(part, 1)
        error = (states - self.normalised(batch)).abs().mean(-1)
        return masked_mean((chunk - batch["target"]).abs().mean(-1), learnt) + masked_mean(error, ~known[1] & own)

    def known(self, count: int, device: torch.device) -> Tensor:
        """Masks (2, count, K): which parts of the actions and which states may be read, where they are its own."""
        share = torch.rand(count, 1, device=device)
        return torch.rand(2, count, PARTS, device=device) < share

    def normalised(self, batch: dict[str, Tensor]) -> Tensor:
        """The labels (B, K, S), normalised."""
        return (self.label(batch) - self.mean) / self.std

    def label(self, batch: dict[str, Tensor]) -> Tensor:
        """The labels of a batch."""
        return batch["masked_trajectory"]

    def filled(
        self, features: Tensor, chunk: Tensor, states: Tensor, known: Tensor, policy: Trained
    ) -> tuple[Tensor, Tensor]:
        """Chunk (B, H, A) and states (B, K, S), normalised, of which `known` (2, B, K) bool may be read, filled in."""
        head, tokens = cast(MaskedTrajectory, policy.head), self.enter(states)
        tokens = torch.where(known[1][..., None], tokens, head.unknown[1].to(tokens.dtype))
        chunk, read = head.filled(features, head.action_tokens(chunk, known[0]), tokens)
        return chunk, self.leave(read).float()


class InverseMasks(MaskedTrajectoryObjective):
    """A negative control: only masks under which all states may be read, that of a policy never among them."""

    def label(self, batch: dict[str, Tensor]) -> Tensor:
        """The labels of a batch."""
        return batch["masked_trajectory_inverse"]

    def known(self, count: int, device: torch.device) -> Tensor:
        """Masks (2, count, K): all states, and some parts of the actions."""
        actions, states = super().known(count, device)
        return torch.stack([actions, torch.ones_like(states)])
