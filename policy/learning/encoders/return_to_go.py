"""How good the execution is to be, as a token (Decision Transformer, Chen et al. 2021)."""

from dataclasses import dataclass

from torch import Tensor, nn

from policy.learning.encoders.group_dropout import where_present
from policy.learning.encoders.window_noise import window_noise
from policy.learning.interfaces import Encoder
from policy.learning.normalization import Statistics
from policy.spec import Spec


class ReturnToGo(Encoder):
    """One number as one token, absent where none is given; constant while running.

    The number is what the bags mark an execution with: success 1, failure 0, or the sum of its rewards.
    """

    @dataclass(frozen=True)
    class Settings:
        noise: float = 0.02  # training

    def __init__(self, settings: Settings, spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__(settings, spec, width, statistics)
        self.settings, self.inputs, self.tokens = settings, ("return_to_go", "return_to_go_present"), 1
        self.layers = nn.Sequential(nn.Linear(1, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, *inputs: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """return_to_go (B, 1) and its presence (B,) to one token; see `Encoder.forward`."""
        value, present = inputs
        if self.training:
            value = value + self.settings.noise * window_noise(value, self.frames)
        return where_present(self.layers(value)[:, None], present)
