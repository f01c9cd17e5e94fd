"""The actions that lead from one frame to the next.

Inverse Dynamics Pretraining Learns Good Representations for Multitask Imitation (Brandfonbrener et al. 2023).
"""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from policy.learning.interfaces import Features, Objective, Trained
from policy.learning.normalization import Statistics
from policy.learning.recorded import Recorded, neighbours, same_episode
from policy.spec import Spec


class InverseDynamics(Objective):
    """Predicts, from the features of two frames a stride apart, the set-points between them."""

    windows: ClassVar[bool] = True

    def __init__(self, spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__(spec, width, statistics)
        self.steps = min(spec.stride, spec.horizon)
        self.shape = self.steps, len(spec.action)
        self.layers = nn.Sequential(
            nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, self.steps * len(spec.action))
        )

    @staticmethod
    def labels(cache: Recorded) -> np.ndarray:
        """The episode (N,) of each frame."""
        return cache.episode

    def forward(self, features: Features, batch: dict[str, Tensor], policy: Trained) -> Tensor:
        """Mean absolute error of the normalised set-points, over frames that have a next one."""
        now, following, _ = neighbours(features.frame, batch["is_first"])
        target, _, _ = neighbours(batch["target"][:, : self.steps], batch["is_first"])
        predicted = self.layers(torch.cat([now, following], -1)).float().unflatten(-1, self.shape)
        valid = same_episode(batch["inverse_dynamics"], batch["is_first"])
        valid = valid & neighbours(batch["learnt"][:, : self.steps].all(1), batch["is_first"])[0]
        error = (predicted - target).abs().mean((-1, -2)) * valid
        total: Tensor = error.sum() / valid.sum().clamp(min=1)
        return total
