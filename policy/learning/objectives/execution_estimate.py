"""The state of the execution, which a switching policy estimates; the only objective that is part of the export."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from policy.learning.context_labels import Recorded, execution_targets
from policy.learning.heads.masked import masked_mean
from policy.learning.interfaces import Features, Objective, Trained
from policy.learning.normalization import Statistics
from policy.spec import MODES, Spec


class ExecutionEstimation(Objective):
    """Estimates contact, done and mode of the execution from the action feature."""

    def __init__(self, spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__(spec, width, statistics)
        self.out = nn.Linear(width, 2 + len(MODES))

    @staticmethod
    def labels(cache: Recorded) -> np.ndarray:
        """Contact, done and one-hot mode (N, 5)."""
        return execution_targets(cache)

    def forward(self, features: Features, batch: dict[str, Tensor], policy: Trained) -> Tensor:
        """Cross-entropy of contact and done, plus that of the mode."""
        logits, label = self.out(features.mixed).float(), batch["execution_estimate"]
        binary = F.binary_cross_entropy_with_logits(logits[:, :2], label[:, :2], reduction="none").mean(1)
        mode = F.cross_entropy(logits[:, 2:], label[:, 2:], reduction="none")
        return masked_mean(binary + mode, batch.get("there", torch.ones_like(mode, dtype=torch.bool)))

    def probabilities(self, features: Tensor) -> Tensor:
        """Features (B, width) to probabilities (B, 5) of contact, done and each mode."""
        logits = self.out(features)
        return torch.cat([logits[:, :2].sigmoid(), logits[:, 2:].softmax(-1)], 1)
