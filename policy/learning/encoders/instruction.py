"""The instruction as a token."""

from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor, nn

from policy.learning.encoders.group_dropout import group_dropout, where_present
from policy.learning.encoders.window_noise import window_noise
from policy.learning.interfaces import Encoder
from policy.learning.normalization import Statistics
from policy.ranges import PART
from policy.spec import Spec


def noisy_embedding(embedding: Tensor, norm: float, frames: int) -> Tensor:
    """A sentence embedding (B, D) of norm 1, moved by Gaussian noise of expected norm `norm` and scaled to 1 again.

    The noise stands for another sentence, and is the same wherever a window of `frames` rows reads the same one.
    """
    spread = norm / embedding.shape[-1] ** 0.5
    return F.normalize(embedding + spread * window_noise(embedding, frames), dim=-1)


class Instruction(Encoder):
    """The sentence embedding as one token.

    Noise in training stands for the phrasings that no demonstration has.
    """

    @dataclass(frozen=True)
    class Settings:
        noise: float = 0.4  # training: expected norm of the noise, that of the embedding being 1
        dropout: float = field(default=0.1, metadata=PART)  # training: of the hidden units
        optional: bool = False  # the policy also acts without an instruction

    def __init__(self, settings: Settings, spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__(settings, spec, width, statistics)
        self.settings, self.tokens = settings, 1
        self.inputs = ("instruction", "instruction_present") if settings.optional else ("instruction",)
        self.layers = nn.Sequential(
            nn.Linear(spec.text, width),
            nn.GELU(),
            nn.Dropout(settings.dropout),
            nn.Linear(width, width),
            nn.LayerNorm(width),
        )

    def forward(self, *inputs: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """instruction (B, D), and where optional its presence (B,), to one token; see `Encoder.forward`."""
        instruction, *present = inputs
        if self.training:
            instruction = noisy_embedding(instruction, self.settings.noise, self.frames)
        # The embedding has norm 1: scaled so that its components are about 1.
        token = self.layers(instruction * instruction.shape[-1] ** 0.5)[:, None]
        return where_present(token, present[0]) if present else group_dropout(token, 0.0, self.training)
