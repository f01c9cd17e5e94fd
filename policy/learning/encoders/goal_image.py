"""A picture of the end as tokens, beside or instead of an instruction."""

from typing import ClassVar

from torch import Tensor

from policy.learning.encoders.cameras import Cameras
from policy.learning.encoders.group_dropout import where_present
from policy.learning.normalization import Statistics
from policy.spec import Spec


class GoalImage(Cameras):
    """One token for each camera's picture of the end, read by a CNN of its own; absent where no goal is given.

    After goal-conditioned imitation (Lynch et al. 2019): in training the goal is the last frame of the episode.
    """

    prefix: ClassVar[str] = "goal"

    def __init__(self, settings: Cameras.Settings, spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__(settings, spec, width, statistics)
        self.inputs = (*self.images, "goal_present")

    def forward(self, *inputs: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, h, w, 3) uint8 and their presence (B,) to a token for each; see `Encoder.forward`."""
        return where_present(self.tokens_of(inputs[:-1], condition), inputs[-1])
