"""The start of the chunk that will be executed whatever comes, as a token."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from policy.learning.interfaces import Encoder
from policy.learning.normalization import Statistics, mean_tensor, std_tensor
from policy.spec import Spec


class Committed(Encoder):
    """The committed set-points, normalised as the head's chunk, and how many they are, as one token.

    Training-time real-time chunking (arXiv 2512.05964) for any head: while an inference runs the arm goes on with
    these, and the answer continues them.
    """

    mean: Tensor  # (H, A)
    std: Tensor  # (H, A)
    has_base: Tensor  # (A,)

    @dataclass(frozen=True)
    class Settings:
        noise: float = 0.3  # training: of a standard deviation, the same in all steps

    def __init__(self, settings: Settings, spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__(settings, spec, width, statistics)
        self.settings, self.inputs, self.tokens = settings, ("committed", "committed_steps", "state"), 1
        self.horizon, self.base = spec.horizon, [place or 0 for place in spec.action_base]
        known = torch.tensor([float(place is not None) for place in spec.action_base])
        self.register_buffer("has_base", known, persistent=False)
        self.register_buffer("mean", mean_tensor(statistics["delta_mean"]))
        self.register_buffer("std", std_tensor(statistics["delta_std"]))
        last = nn.Linear(width, width)
        self.layers = nn.Sequential(nn.Linear(spec.horizon * (len(spec.action) + 1), width), nn.GELU(), last)
        nn.init.normal_(last.weight, std=0.01)  # training begins as if the token were absent

    def forward(self, *inputs: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """committed (B, H, A), committed_steps (B,), state (B, S) to one token; see `Encoder.forward`."""
        committed, steps, state = inputs
        mask = torch.arange(self.horizon, device=state.device) < steps[:, None]
        rows = (committed - (state[:, self.base] * self.has_base)[:, None] - self.mean) / self.std
        if self.training:
            # running, they are the policy's own and may lead beside the answer: they do not tell where it goes
            rows = rows + self.settings.noise * torch.randn_like(rows[:, :1])
        rows = torch.where(mask[..., None], rows, 0.0)
        token = self.layers(torch.cat([rows.flatten(1), mask.to(rows.dtype)], 1))[:, None]
        return token, mask[:, :1]  # absent where nothing is committed
