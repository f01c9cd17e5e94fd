"""The state at the end, as a token, beside or instead of an instruction."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from policy.learning.encoders.group_dropout import where_present
from policy.learning.encoders.window_noise import window_noise
from policy.learning.interfaces import Encoder
from policy.learning.normalization import Statistics, mean_tensor, std_tensor
from policy.spec import Spec


class GoalState(Encoder):
    """The state to reach and its difference from the present one as one token; absent where no goal is given.

    The future frame of From Play to Policy: Conditional Behavior Generation from Uncurated Robot Data (Cui et al. 2022)
    where the state holds all there is to see, as in simulation; with cameras it is `goal_image`.
    """

    mean: Tensor  # (S,)
    std: Tensor  # (S,)

    @dataclass(frozen=True)
    class Settings:
        noise: float = 0.02  # training: of a standard deviation

    def __init__(self, settings: Settings, spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__(settings, spec, width, statistics)
        self.settings, self.inputs, self.tokens = settings, ("goal_state", "goal_present", "state"), 1
        self.register_buffer("mean", mean_tensor(statistics["state_mean"]))
        self.register_buffer("std", std_tensor(statistics["state_std"]))
        self.layers = nn.Sequential(nn.Linear(2 * len(spec.state), width), nn.GELU(), nn.Linear(width, width))

    def forward(self, *inputs: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """goal_state (B, S), its presence (B,) and state (B, S) to one token; see `Encoder.forward`."""
        goal, present, state = inputs
        x = torch.cat([goal - self.mean, goal - state], 1) / torch.cat([self.std, self.std])
        if self.training:
            x = x + self.settings.noise * window_noise(x, self.frames)
        return where_present(self.layers(x)[:, None], present)
