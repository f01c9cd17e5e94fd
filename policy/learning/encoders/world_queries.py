"""Tokens that ask what the world will be like, for the objective `forecasting` (DreamVLA, Zhang et al. 2025)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from policy.learning.encoders.group_dropout import group_dropout
from policy.learning.interfaces import Encoder
from policy.learning.normalization import Statistics
from policy.spec import Spec

QUERIES = ("dynamic", "spatial", "contact")


class WorldQueries(Encoder):
    """One learnt token for each part of the forecast: all read the observation, none another; it is named last.

    What the action token reads of them is what the policy expects of the world.
    """

    apart: ClassVar[bool] = True

    @dataclass(frozen=True)
    class Settings:
        pass

    def __init__(self, settings: Settings, spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__(settings, spec, width, statistics)
        self.inputs, self.tokens = ("state",), len(QUERIES)
        self.queries = nn.Parameter(0.02 * torch.randn(1, self.tokens, width))

    def forward(self, *inputs: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """state (B, S), of which only B is read, to the queries; see `Encoder.forward`."""
        return group_dropout(self.queries.expand(inputs[0].shape[0], -1, -1), 0.0, self.training)
