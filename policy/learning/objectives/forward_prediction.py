"""The next frame's feature from this one's and the actions between: what inverse dynamics is compared with."""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from policy.learning.interfaces import Features, Objective, Trained
from policy.learning.normalization import Statistics
from policy.learning.recorded import Recorded, neighbours, same_episode
from policy.spec import Spec


class ForwardPrediction(Objective):
    """Predicts the feature of the next frame, through which no gradient flows.

    The predictor is what keeps the features apart, as in Understanding Self-Predictive Learning for Reinforcement
    Learning (Tang et al. 2022).
    """

    windows: ClassVar[bool] = True

    def __init__(self, spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__(spec, width, statistics)
        self.steps = min(spec.stride, spec.horizon)
        self.layers = nn.Sequential(
            nn.Linear(width + self.steps * len(spec.action), width), nn.GELU(), nn.Linear(width, width)
        )

    @staticmethod
    def labels(cache: Recorded) -> np.ndarray:
        """The episode (N,) of each frame."""
        return cache.episode

    def forward(self, features: Features, batch: dict[str, Tensor], policy: Trained) -> Tensor:
        """One minus the cosine of predicted and next feature, over frames that have a next one."""
        now, following, _ = neighbours(features.frame, batch["is_first"])
        actions, _, _ = neighbours(batch["target"][:, : self.steps], batch["is_first"])
        valid = same_episode(batch["forward_prediction"], batch["is_first"])
        valid = valid & neighbours(batch["learnt"][:, : self.steps].all(1), batch["is_first"])[0]
        predicted = self.layers(torch.cat([now, actions.flatten(2).to(now.dtype)], -1)).float()
        error = 1 - torch.cosine_similarity(predicted, following.detach().float(), dim=-1)
        total: Tensor = (error * valid).sum() / valid.sum().clamp(min=1)
        return total
