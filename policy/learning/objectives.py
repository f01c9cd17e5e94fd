"""Objectives: further losses on the action feature (policy.learning.interfaces.Objective).

Only `execution_estimate` is part of the export.
"""

from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from policy.learning.context_labels import ContextLabels, Recorded
from policy.learning.interfaces import Objective
from policy.learning.normalization import Statistics, mean_tensor, std_tensor
from policy.robot.contract import Contract
from policy.spec import MODES, Spec


class Labelled(Protocol):
    """What an objective reads of policy.data.cache.Cache."""

    contract: Contract
    state: np.ndarray  # (N, S)
    actions: np.ndarray  # (N, A)
    bounds: np.ndarray  # (E + 1,)


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
    def labels(cache: Labelled) -> np.ndarray:
        """States (N, S); a gripper's command changes where it jumps by a twentieth of its range."""
        limits, grippers = cache.contract.limits, cache.contract.grippers
        jumps = np.abs(np.diff(cache.actions[:, grippers], axis=0)) > 0.05 * (limits.high - limits.low)[grippers]
        changes = np.append(False, jumps.any(1))
        labels = np.empty(np.shape(cache.state), np.float32)
        for start, end in zip(cache.bounds[:-1], cache.bounds[1:], strict=True):
            goals = np.append(start + 1 + np.flatnonzero(changes[start + 1 : end]), end - 1)
            labels[start:end] = cache.state[goals[np.searchsorted(goals[:-1], np.arange(start, end), side="right")]]
        return labels

    def forward(self, features: Tensor, label: Tensor) -> Tensor:
        """Mean absolute error of the normalised state; features (B, width), label (B, S)."""
        predicted: Tensor = self.out(features).float()
        return (predicted - (label - self.mean) / self.std).abs().mean()


class ExecutionEstimation(Objective):
    """Estimates contact, done and mode of the execution from the action feature."""

    def __init__(self, spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__(spec, width, statistics)
        self.out = nn.Linear(width, 2 + len(MODES))

    @staticmethod
    def labels(cache: Recorded) -> np.ndarray:
        """Contact, done and one-hot mode (N, 5)."""
        return ContextLabels(cache).execution_targets

    def forward(self, features: Tensor, label: Tensor) -> Tensor:
        """Cross-entropy of contact and done, plus that of the mode; features (B, width), label (B, 5)."""
        logits = self.out(features).float()
        binary = F.binary_cross_entropy_with_logits(logits[:, :2], label[:, :2])
        return binary + F.cross_entropy(logits[:, 2:], label[:, 2:])

    def probabilities(self, features: Tensor) -> Tensor:
        """Probabilities (B, 5) of contact, done and each mode."""
        logits = self.out(features)
        return torch.cat([logits[:, :2].sigmoid(), logits[:, 2:].softmax(-1)], 1)


OBJECTIVES: dict[str, type[Objective]] = {"keyframe": Keyframe, "execution_estimate": ExecutionEstimation}
