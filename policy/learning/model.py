"""The policy: encoders -> mixer -> head, with everything between raw inputs and robot units inside."""

from dataclasses import replace
from itertools import accumulate
from typing import cast

import torch
from torch import Tensor, nn

from policy.learning.encoders import ENCODERS
from policy.learning.heads import HEADS
from policy.learning.interfaces import Encoder, Objective
from policy.learning.mixers import MIXERS
from policy.learning.normalization import Statistics, mean_tensor, std_tensor
from policy.learning.objectives import OBJECTIVES, ExecutionEstimation
from policy.learning.recipe import Recipe
from policy.spec import Spec


class Policy(nn.Module):
    """Maps the inputs of `Spec.inputs` to the outputs of `Spec.outputs`, as a pure function of positional tensors.

        instruction token, camera tokens, state token, action token -> mixer -> feature -> head -> chunk

    The causal mixer reads the tokens in the recipe's order; the learned action token comes last and reads all. The
    head works on normalised changes from the current state, one scale for each step of the horizon:

        actions[i] = state + delta_mean[i] + delta_std[i] * head[i]
    """

    delta_mean: Tensor  # (H, A)
    delta_std: Tensor  # (H, A)

    def __init__(self, recipe: Recipe, spec: Spec, statistics: Statistics) -> None:
        super().__init__()
        width = recipe.width
        self.spec = replace(spec, switches=recipe.switches)
        self.inputs, self.outputs = tuple(self.spec.inputs()), tuple(self.spec.outputs())
        encoders = {
            name: ENCODERS[name](settings, spec, width, statistics) for name, settings in recipe.encoders.items()
        }
        self.encoders = cast("dict[str, Encoder]", nn.ModuleDict(encoders))
        self.token_slices = _slices({name: encoder.tokens for name, encoder in encoders.items()} | {"action": 1})
        self.action_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.mixer = MIXERS[recipe.mixer.name](recipe.mixer.settings, width, self.token_slices["action"].stop)
        self.head = HEADS[recipe.head.name](recipe.head.settings, width, spec.horizon, len(spec.action))
        self.objective_weights = {name: weight for name, weight in recipe.objectives.items() if weight > 0}
        objectives = {name: OBJECTIVES[name](spec, width, statistics) for name in self.objective_weights}
        self.objectives = cast("dict[str, Objective]", nn.ModuleDict(objectives))
        self.commanded = [spec.state.index(name) for name in spec.action]  # the part of the state that actions set
        self.register_buffer("delta_mean", mean_tensor(statistics["delta_mean"]))
        self.register_buffer("delta_std", std_tensor(statistics["delta_std"]))

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Tensors in the order of `inputs` to those of `outputs`.

        actions (B, H, A), absolute set-points in robot units; a switching policy adds execution_estimate (B, 5).
        """
        named = dict(zip(self.inputs, inputs, strict=True))
        features = self.features(named)
        chunk = self.head.sample(features, None)
        actions = self.commanded_state(named)[:, None] + self.delta_mean + self.delta_std * chunk
        if not self.spec.switches:
            return actions
        estimation = cast(ExecutionEstimation, self.objectives["execution_estimate"])
        return actions, estimation.probabilities(features)

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum and its parts; `batch` holds inputs, actions, mask and the objectives' labels."""
        features = self.features(batch)
        delta = batch["actions"] - self.commanded_state(batch)[:, None]
        target = (delta - self.delta_mean) / self.delta_std
        parts = {"action": self.head.loss(features, target, batch["mask"])}
        total = parts["action"]
        for name, objective in self.objectives.items():
            parts[name] = objective(features, batch[name])
            total = total + self.objective_weights[name] * parts[name]
        return total, parts

    def features(self, named: dict[str, Tensor]) -> Tensor:
        """The action feature (B, width) of inputs by name."""
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
        mixed: Tensor = self.mixer(torch.cat([*tokens, action], 1), mask)
        return mixed[:, -1]

    def commanded_state(self, named: dict[str, Tensor]) -> Tensor:
        """The current positions (B, A) of the joints that actions command."""
        return named["state"][:, self.commanded]


def _slices(counts: dict[str, int]) -> dict[str, slice]:
    """Where each token group lies in the row of tokens, by name and in order."""
    ends = accumulate(counts.values())
    return {name: slice(end - count, end) for (name, count), end in zip(counts.items(), ends, strict=True)}
