"""The joint state as a token."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from policy.learning.encoders.group_dropout import group_dropout
from policy.learning.interfaces import Encoder
from policy.learning.normalization import Statistics, mean_tensor, std_tensor
from policy.ranges import PART
from policy.spec import Spec


class Proprioception(Encoder):
    """The joint state, normalised, as one token."""

    mean: Tensor  # (S,)
    std: Tensor  # (S,)

    @dataclass(frozen=True)
    class Settings:
        noise: float = 0.05  # training: of a standard deviation
        group_dropout: float = field(default=0.1, metadata=PART)  # training: probability that the token is absent

    def __init__(self, settings: Settings, spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__(settings, spec, width, statistics)
        self.settings, self.inputs, self.tokens = settings, ("state",), 1
        self.register_buffer("mean", mean_tensor(statistics["state_mean"]))
        self.register_buffer("std", std_tensor(statistics["state_std"]))
        self.layers = nn.Sequential(nn.Linear(len(spec.state), width), nn.GELU(), nn.Linear(width, width))

    def forward(self, *inputs: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """state (B, S) to one token; see `Encoder.forward`."""
        (state,) = inputs
        x = (state - self.mean) / self.std
        if self.training:
            x = x + self.settings.noise * torch.randn_like(x)
        return group_dropout(self.layers(x)[:, None], self.settings.group_dropout, self.training)
