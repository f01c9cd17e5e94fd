"""Where the arm is going."""

import numpy as np
from torch import Tensor, nn

from policy.learning.heads.masked import masked_mean
from policy.learning.interfaces import Features, Objective, Trained
from policy.learning.normalization import Statistics, mean_tensor, std_tensor
from policy.learning.recorded import Recorded
from policy.spec import Spec


class Keyframe(Objective):
    """Predicts where the arm is going: the state when a gripper's command next changes or the episode ends.

    After the keyframes of C2F-ARM (James et al. 2022).
    """

    mean: Tensor  # (S,)
    std: Tensor  # (S,)

    def __init__(self, spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__(spec, width, statistics)
        self.register_buffer("mean", mean_tensor(statistics["state_mean"]))
        self.register_buffer("std", std_tensor(statistics["state_std"]))
        self.out = nn.Linear(width, len(spec.state))

    @staticmethod
    def labels(cache: Recorded) -> np.ndarray:
        """States (N, S); a gripper's command changes where it jumps by a twentieth of its range."""
        limits, grippers = cache.contract.limits, cache.contract.grippers
        jumps = np.abs(np.diff(cache.actions[:, grippers], axis=0)) > 0.05 * (limits.high - limits.low)[grippers]
        changes = np.append(False, jumps.any(1))
        labels = np.empty(np.shape(cache.state), np.float32)
        for start, end in zip(cache.bounds[:-1], cache.bounds[1:], strict=True):
            goals = np.append(start + 1 + np.flatnonzero(changes[start + 1 : end]), end - 1)
            labels[start:end] = cache.state[goals[np.searchsorted(goals[:-1], np.arange(start, end), side="right")]]
        return labels

    def forward(self, features: Features, batch: dict[str, Tensor], policy: Trained) -> Tensor:
        """Mean absolute error of the normalised state, over the frames of which anything is learnt."""
        predicted: Tensor = self.out(features.mixed).float()
        error = (predicted - (batch["keyframe"] - self.mean) / self.std).abs().mean(1)
        return masked_mean(error, batch["mask"].any(1))
