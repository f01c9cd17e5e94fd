"""The policy: encoders -> mixer -> sequence mixer -> head, with all between raw inputs and robot units inside."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import accumulate
from typing import cast

import torch
from torch import Tensor, nn

from policy.errors import InputError
from policy.learning.encoders import ENCODERS
from policy.learning.heads import HEADS
from policy.learning.interfaces import Encoder, Features, Objective, Prefix
from policy.learning.mixers import MIXERS
from policy.learning.normalization import Statistics, identity_statistics, mean_tensor, std_tensor
from policy.learning.objectives import OBJECTIVES
from policy.learning.objectives.execution_estimate import ExecutionEstimation
from policy.learning.recipe import Memory, Recipe
from policy.learning.sequence_mixers import SEQUENCE_MIXERS
from policy.learning.sequence_mixers.none import NoMemory
from policy.spec import Spec


class Policy(nn.Module):
    """Maps the inputs of `Spec.inputs` to the outputs of `Spec.outputs`, as a pure function of positional tensors.

        instruction token, camera tokens, state token, action token -> mixer -> feature
        feature, state_* of the frames before -> sequence mixer -> feature -> head -> chunk

    The causal mixer reads the tokens in the recipe's order; the learned action token comes last and reads all. The
    head works on normalised changes from the current state, one scale for each step of the horizon, from 0 where the
    state holds no measurement of an action:

        actions[i] = state + delta_mean[i] + delta_std[i] * head[i]
    """

    delta_mean: Tensor  # (H, A)
    delta_std: Tensor  # (H, A)
    has_base: Tensor  # (A,) 1 where an action is learnt from a measurement in the state

    def __init__(self, recipe: Recipe, spec: Spec, statistics: Statistics) -> None:
        super().__init__()
        width = recipe.width
        encoders = {
            name: ENCODERS[name](settings, spec, width, statistics) for name, settings in recipe.encoders.items()
        }
        self.encoders = cast("dict[str, Encoder]", nn.ModuleDict(encoders))
        self.token_slices = _slices({name: encoder.tokens for name, encoder in encoders.items()} | {"action": 1})
        self.action_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        tokens, apart = self.token_slices["action"].stop, [name for name in encoders if encoders[name].apart]
        if apart != list(encoders)[len(encoders) - len(apart) :]:  # the mixer is causal
            raise InputError(
                f"encoders: {', '.join(encoders)} in the recipe; {', '.join(apart)} reads what is before it; name it "
                "after all others"
            )
        readable = _readable(tokens, [self.token_slices[name] for name in apart]) if apart else None
        self.mixer = MIXERS[recipe.mixer.name](recipe.mixer.settings, width, tokens, readable)
        memory = recipe.memory or Memory("none", NoMemory.Settings(), frames=1, stride=1)
        for encoder in encoders.values():
            encoder.frames = memory.frames
        self.sequence_mixer = SEQUENCE_MIXERS[memory.name](memory.settings, width, memory.frames)
        self.head = HEADS[recipe.head.name](recipe.head.settings, width, spec.horizon, len(spec.action))
        recipe.runtime.check(spec.horizon / spec.rate, "runtime in the recipe")
        read = {"state", *(name for encoder in encoders.values() for name in encoder.inputs)}
        self.spec = replace(spec, switches=recipe.switches, noise=self.head.noise, runtime=recipe.runtime)
        self.spec = replace(
            self.spec, memory=self.sequence_mixer.state, stride=memory.stride, reads=tuple(sorted(read))
        )
        self.inputs, self.outputs = tuple(self.spec.inputs()), tuple(self.spec.outputs())
        self.present = [name for name in self.inputs if name.endswith("_present")]
        if self.head.guided and not self.present:
            raise InputError(
                f"head: the guidance of {recipe.head.name} leads away from what is done without conditions, "
                "and this policy has none that may be absent; add one, such as goal_state, or give guidance 1"
            )
        self.action_weight = recipe.training.action_weight
        self.objective_weights = {name: recipe.objectives[name] for name in recipe.learnt}
        objectives = {name: OBJECTIVES[name](self.spec, width, statistics) for name in self.objective_weights}
        self.objectives = cast("dict[str, Objective]", nn.ModuleDict(objectives))
        self.base = [place or 0 for place in spec.action_base]
        known = torch.tensor([float(place is not None) for place in spec.action_base])
        self.register_buffer("has_base", known, persistent=False)
        self.register_buffer("delta_mean", mean_tensor(statistics["delta_mean"]))
        self.register_buffer("delta_std", std_tensor(statistics["delta_std"]))
        for objective in objectives.values():
            objective.begin(self)

    @staticmethod
    def describe(recipe: Recipe, robot: Spec) -> Spec:
        """The spec of the policy that a recipe makes for a robot, without its weights."""
        with torch.device("meta"):
            return Policy(recipe, robot, identity_statistics(robot)).spec

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Tensors in the order of `inputs` to those of `outputs`.

        actions (B, H, A), absolute set-points in robot units; a switching policy adds execution_estimate (B, 5), and
        one with memory its state after this frame.
        """
        named = dict(zip(self.inputs, inputs, strict=True))
        before = {name: named[f"state_{name}"] for name in self.spec.memory}
        features, state = self.sequence_mixer.step(self.tokens(named, last=True)[:, -1], before)
        noise, prefix = named.get("noise"), self.prefix(named)
        if self.head.guided:  # what was seen before stays as it was
            without = named | {name: torch.zeros_like(named[name]) for name in self.present}
            absent, _ = self.sequence_mixer.step(self.tokens(without, last=True)[:, -1], before)
            chunk = self.head.sample_guided(features, absent, noise, prefix)
        else:
            chunk = self.head.sample(features, noise, prefix)
        if prefix is not None:
            chunk = torch.where(prefix.mask[..., None], prefix.chunk, chunk)
        outputs = [self.measured(named)[:, None] + self.delta_mean + self.delta_std * chunk]
        if self.spec.switches:
            estimation = cast(ExecutionEstimation, self.objectives["execution_estimate"])
            outputs.append(estimation.probabilities(features))
        return (*outputs, *(state[name] for name in self.spec.memory))

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum and its parts; `batch` holds inputs, actions, mask and the objectives' labels.

        With memory its rows are windows of T frames, one after the other, and is_first (windows, T) says where a
        recording begins; every frame is learnt from.
        """
        features = self.features(batch)
        target, mask, prefix = self.normalised(batch["actions"], batch), batch["mask"], self.prefix(batch)
        if prefix is not None:
            mask = mask & ~prefix.mask
        parts = {"action": self.head.loss(features.mixed, target, mask, prefix)}
        total = self.action_weight * parts["action"]
        batch = batch | {"target": target, "learnt": mask}
        for name, objective in self.objectives.items():
            parts[name] = objective(features, batch, self)
            total = total + self.objective_weights[name] * parts[name]
        return total, parts

    def predict(self, batch: dict[str, Tensor]) -> Tensor:
        """The chunk (B, H, A), normalised, that the head gives for each frame of a batch as `loss` gets it."""
        features, prefix = self.features(batch).mixed, self.prefix(batch)
        noise = torch.randn(len(features), *self.head.noise, device=features.device) if self.head.noise else None
        return self.head.sample(features, noise, prefix)

    def index(self, batches: Iterable[dict[str, Tensor]]) -> None:
        """Let the head keep what the last frames of these windows look like and what was done then; before export."""
        features, targets = list[Tensor](), list[Tensor]()
        for batch in batches:
            frames = batch["is_first"].shape[1] if "is_first" in batch else 1
            features.append(self.features(batch).mixed[frames - 1 :: frames])
            targets.append(self.normalised(batch["actions"], batch)[frames - 1 :: frames])
        self.head.index(torch.cat(features), torch.cat(targets))

    def prepare(self, actions: Tensor, state: Tensor) -> None:
        """Let the head look at actions (N, H, A) and state (N, S) of the training data, once, before training."""
        self.head.prepare(self.normalised(actions, {"state": state}))

    def go_on(self, actions: Tensor, state: Tensor) -> str:
        """As `prepare`, with a head that is learnt already; what the head changes, "" if nothing."""
        return self.head.go_on(self.normalised(actions, {"state": state}))

    def features(self, batch: dict[str, Tensor]) -> Features:
        """What is made of the frames of a batch as `loss` gets it."""
        read = any(objective.reads_tokens for objective in self.objectives.values())
        tokens = self.tokens(batch, last=not read)
        frame = mixed = tokens[:, -1]
        if "is_first" in batch:
            windows = frame.view(*batch["is_first"].shape, -1)
            mixed = self.sequence_mixer(windows, batch["is_first"]).flatten(0, 1)
        places = self.token_slices if read else {}
        return Features({name: tokens[:, place] for name, place in places.items()}, frame, mixed)

    def tokens(self, named: dict[str, Tensor], last: bool) -> Tensor:
        """Inputs by name to the tokens (B, n, width) of their frames, mixed.

        The last one is the action token; with `last` it alone is computed to the end, (B, 1, width).
        """
        action = self.action_token.expand(named["state"].shape[0], -1, -1)
        condition = torch.zeros_like(action[:, 0])
        tokens, masks = [], []
        for encoder in self.encoders.values():
            group, mask = encoder(*(named[name] for name in encoder.inputs), condition=condition)
            condition = condition + group[:, 0]
            tokens.append(group)
            masks.append(mask)
        masks.append(torch.ones(1, 1, dtype=torch.bool, device=action.device))
        if any(mask.shape[0] != 1 for mask in masks):  # else one row stands for all, a constant of the graph
            masks = [mask.expand(action.shape[0], -1) for mask in masks]
        mask = torch.cat(masks, 1)
        mixed: Tensor = self.mixer(torch.cat([*tokens, action], 1), mask, last)
        return mixed

    def prefix(self, named: dict[str, Tensor]) -> Prefix | None:
        """What is committed of a chunk, None where the policy does not read it; rows beyond it change nothing."""
        if "committed" not in self.inputs:
            return None
        rows = torch.arange(self.spec.horizon, device=named["state"].device)
        mask = rows < named["committed_steps"][:, None]
        return Prefix(torch.where(mask[..., None], self.normalised(named["committed"], named), 0.0), mask)

    def normalised(self, actions: Tensor, named: dict[str, Tensor]) -> Tensor:
        """Set-points (B, H, A) in robot units as the head makes them."""
        return (actions - self.measured(named)[:, None] - self.delta_mean) / self.delta_std

    def measured(self, named: dict[str, Tensor]) -> Tensor:
        """The measurements (B, A) from which actions are learnt."""
        return named["state"][:, self.base] * self.has_base


def _slices(counts: dict[str, int]) -> dict[str, slice]:
    """Where each token group lies in the row of tokens, by name and in order."""
    ends = accumulate(counts.values())
    return {name: slice(end - count, end) for (name, count), end in zip(counts.items(), ends, strict=True)}


def _readable(tokens: int, apart: list[slice]) -> Tensor:
    """Which token may read which, (n, n) bool: in the groups `apart` each only itself."""
    readable = torch.ones(tokens, tokens, dtype=torch.bool)
    for group in apart:
        readable[group, group] = torch.eye(group.stop - group.start, dtype=torch.bool)
    return readable
