"""The policy: encoders -> mixer -> head, with everything between raw inputs and robot units inside."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from policy.learning.encoders import ENCODERS, Statistics, std
from policy.learning.heads import HEADS
from policy.learning.mixers import MIXERS
from policy.learning.objectives import OBJECTIVES
from policy.learning.recipe import Recipe
from policy.spec import Spec

EXECUTION = ("previous_instruction", "contact", "contact_origin")  # what the session's book says


def blank(spec: Spec) -> Statistics:
    """Statistics that change nothing, for a policy whose weights, the real ones among them, are loaded."""
    states, actions = len(spec.state), (spec.horizon, len(spec.action))
    return {
        "state_mean": np.zeros(states),
        "state_std": np.ones(states),
        "delta_mean": np.zeros(actions),
        "delta_std": np.ones(actions),
    }


class Policy(nn.Module):
    """Maps images, state and instruction to a chunk, as a pure function of positional tensors.

        instruction token, camera tokens, state token, action token -> mixer -> feature -> head -> chunk

    The causal mixer reads them in the recipe's order; the learned action token comes last and sees all. The
    head works on normalised changes from the present state, one scale for each step of the horizon:

        actions[i] = state + delta_mean[i] + delta_std[i] * head[i]
    """

    def __init__(self, recipe: Recipe, spec: Spec, statistics: Statistics) -> None:
        super().__init__()
        width = recipe.width
        self.spec, self.weights = replace(spec, switches=recipe.switches), recipe.objectives
        self.encoders = nn.ModuleDict(
            {name: ENCODERS[name](settings, spec, width, statistics) for name, settings in recipe.encoders.items()}
        )
        read = [name for encoder in self.encoders.values() for name in encoder.inputs]
        self.inputs: tuple[str, ...] = tuple(
            name
            for name in (*(f"image_{camera}" for camera in spec.cameras), "state", "instruction", *EXECUTION)
            if name in read or name == "state"
        )
        self.outputs: tuple[str, ...] = ("actions", "execution_estimate") if recipe.switches else ("actions",)
        tokens = sum(encoder.tokens for encoder in self.encoders.values())
        counts = [*((name, encoder.tokens) for name, encoder in self.encoders.items()), ("action", 1)]
        ends = np.cumsum([count for _, count in counts])
        self.places = {name: slice(int(end - count), int(end)) for (name, count), end in zip(counts, ends, strict=True)}
        self.action_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.mixer = MIXERS[recipe.mixer.name](recipe.mixer.settings, width, tokens + 1)
        self.head = HEADS[recipe.head.name](recipe.head.settings, width, spec.horizon, len(spec.action))
        self.objectives = nn.ModuleDict(
            {
                name: OBJECTIVES[name](spec, width, statistics)
                for name, weight in recipe.objectives.items()
                if weight > 0
            }
        )
        self.commanded = [spec.state.index(name) for name in spec.action]  # the state that an action sets
        self.register_buffer("delta_mean", torch.tensor(statistics["delta_mean"], dtype=torch.float32))
        self.register_buffer("delta_std", std(statistics["delta_std"]))

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Tensors in the order of `inputs` -> actions (B, H, A), absolute set-points in robot units.

        A policy that switches also says what it is told to: told (B, 5).
        """
        named = dict(zip(self.inputs, inputs, strict=True))
        features = self.features(named)
        chunk = self.head.sample(features, None)
        actions = self.present_state(named)[:, None] + self.delta_mean + self.delta_std * chunk
        return (actions, self.objectives["execution_estimate"].say(features)) if self.spec.switches else actions

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum and its parts; `batch` holds inputs, actions, mask and the objectives' labels."""
        features = self.features(batch)
        delta = batch["actions"] - self.present_state(batch)[:, None]
        target = (delta - self.delta_mean) / self.delta_std
        parts = {"action": self.head.loss(features, target, batch["mask"])}
        total = parts["action"]
        for name, objective in self.objectives.items():
            parts[name] = objective(features, batch[name])
            total = total + self.weights[name] * parts[name]
        return total, parts

    def features(self, named: dict[str, Tensor]) -> Tensor:
        """The action feature (B, width)."""
        action = self.action_token.expand(named["state"].shape[0], -1, -1)
        condition = torch.zeros_like(action[:, 0])
        tokens, masks = [], []
        for encoder in self.encoders.values():
            group, mask = encoder(*(named[name] for name in encoder.inputs), condition=condition)
            condition = condition + group[:, 0]
            tokens.append(group)
            masks.append(mask)
        masks.append(torch.ones(1, 1, dtype=torch.bool, device=action.device))
        rows = max(len(mask) for mask in masks)
        mask = torch.cat([mask.expand(rows, -1) for mask in masks], 1)
        return self.mixer(torch.cat([*tokens, action], 1), mask)[:, -1]

    def present_state(self, named: dict[str, Tensor]) -> Tensor:
        """What the joints that actions command read now (B, A)."""
        return named["state"][:, self.commanded]
