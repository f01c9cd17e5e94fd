"""What one frame does not show of the execution, as tokens: the previous instruction and the current contact."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from policy.learning.encoders.group_dropout import group_dropout
from policy.learning.encoders.instruction import noisy_embedding
from policy.learning.interfaces import Encoder
from policy.learning.normalization import Statistics, std_tensor
from policy.spec import Spec


class ExecutionState(Encoder):
    """Two tokens: previous and current instruction; contact and the displacement from where it began.

    After the condition-aware embedding of SwitchVLA (arXiv 2506.03574); the contact's origin is ours.
    """

    std: Tensor  # (S,)

    @dataclass(frozen=True)
    class Settings:
        noise: float = 0.2  # training: expected norm of the noise on the previous instruction
        contact: bool = True  # False, for ablation: not read, nor its origin

    def __init__(self, settings: Settings, spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__(settings, spec, width, statistics)
        self.settings, self.tokens = settings, 2
        self.inputs = ("instruction", "previous_instruction", "contact", "contact_origin", "state")
        self.register_buffer("std", std_tensor(statistics["state_std"]))
        self.instructions = _layers(2 * spec.text, width)
        self.contact = _layers(1 + len(spec.state), width)

    def forward(self, *inputs: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """instruction, previous (B, D), contact (B, 1), origin, state (B, S) to two tokens; see `Encoder.forward`."""
        instruction, previous, contact, origin, state = inputs
        if self.training:
            previous = noisy_embedding(previous, self.settings.noise, self.frames)
        if not self.settings.contact:
            contact, origin = torch.zeros_like(contact), state
        instructions = torch.cat([previous, previous - instruction], 1) * instruction.shape[-1] ** 0.5
        displacement = torch.cat([contact, contact * (origin - state) / self.std], 1)
        tokens = torch.stack([self.instructions(instructions), self.contact(displacement)], 1)
        return group_dropout(tokens, 0.0, self.training)


def _layers(inputs: int, width: int) -> nn.Sequential:
    """A two-layer MLP whose output starts near zero, so that training begins as if the token were absent."""
    last = nn.Linear(width, width)
    layers = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), last)
    nn.init.normal_(last.weight, std=0.01)
    return layers
