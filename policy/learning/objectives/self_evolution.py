"""Labels that are refined by what the policy itself predicted before, against noise in them.

Decision Mamba: A Multi-Grained State Space Model with Self-Evolution Regularization for Offline RL (Lv et al. 2024).
"""

from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from policy.errors import InputError
from policy.learning.interfaces import Features, Objective, Trained
from policy.learning.normalization import Statistics
from policy.spec import Spec

PACE = 0.005  # of the past self's steps towards the present one
RAMP = 500  # steps until the past self has its whole say: an untrained one knows nothing
SHARE = 0.5  # of its prediction in the refined label, the label's being the rest


class SelfEvolution(Objective):
    """The head's loss towards the refined label: between the label and what the policy's past self predicts.

    The past self is a moving average of the weights, part of the checkpoint and not of the export; its prediction gets
    its share over the first `RAMP` steps. This loss stands in place of that towards the label (`action_weight: 0`): of
    an absolute error, both together would have slopes that cancel.
    """

    instead: ClassVar[bool] = True
    past: Tensor  # (P,) the parameters of the past self, one after the other
    steps: Tensor  # () taken so far

    def __init__(self, spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__(spec, width, statistics)
        self.register_buffer("steps", torch.zeros(()))

    def begin(self, policy: Trained) -> None:
        """Make place for the past self; `InputError` with a head whose prediction is made at export, or drawn."""
        if policy.head.indexed:
            raise InputError(
                "objectives: self_evolution refines labels by what the policy predicts, and a head that searches an "
                "index has none before export; take another head"
            )
        if policy.head.noise:
            raise InputError(
                "objectives: self_evolution refines labels by what the policy predicts, and a head that samples gives "
                "any of the chunks that are possible; take another head"
            )
        self.register_buffer("past", _vector(policy))

    def forward(self, features: Features, batch: dict[str, Tensor], policy: Trained) -> Tensor:
        """The head's loss towards the refined label."""
        if self.training:
            with torch.no_grad():
                # the first time it is the policy, whatever weights that began with
                self.past.lerp_(_vector(policy), PACE if self.steps > 0 else 1.0)
                self.steps += 1
        named, begin = {}, 0
        for name, parameter in _own(policy).items():
            named[f"policy.{name}"] = self.past[begin : begin + parameter.numel()].view(parameter.shape)
            begin += parameter.numel()
        with torch.no_grad():
            chunk = functional_call(_Prediction(policy), named, (batch,))
        refined = torch.lerp(batch["target"], chunk.detach(), SHARE * (self.steps / RAMP).clamp(max=1.0))
        return policy.head.loss(features.mixed, refined, batch["learnt"], policy.prefix(batch))


class _Prediction(nn.Module):
    """`Trained.predict` as a `forward`, which can be called with other parameters."""

    def __init__(self, policy: Trained) -> None:
        super().__init__()
        self.policy = cast(nn.Module, policy)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        chunk: Tensor = self.policy.predict(batch)  # type: ignore[operator]  # nn.Module types attributes as tensors
        return chunk


def _own(policy: Trained) -> dict[str, Tensor]:
    """The parameters that make a prediction, by name."""
    return {name: p.detach() for name, p in policy.named_parameters() if not name.startswith("objectives.")}


def _vector(policy: Trained) -> Tensor:
    return torch.cat([parameter.reshape(-1) for parameter in _own(policy).values()])
