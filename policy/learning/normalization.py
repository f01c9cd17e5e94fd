"""Statistics of the training data, with which the policy normalises inside its graph."""

import numpy as np
import torch
from torch import Tensor

from policy.spec import Spec

# state_mean, state_std (S,), delta_mean, delta_std (H, A), as policy.data.cache.statistics returns them.
Statistics = dict[str, np.ndarray]
STD_FLOOR = 1e-3  # rad or m: the noise of a joint that hardly moves is not amplified


def identity_statistics(spec: Spec) -> Statistics:
    """Statistics that change nothing, for a policy whose weights, normalisation included, are then loaded."""
    states, deltas = len(spec.state), (spec.horizon, len(spec.action))
    return {
        "state_mean": np.zeros(states),
        "state_std": np.ones(states),
        "delta_mean": np.zeros(deltas),
        "delta_std": np.ones(deltas),
    }


def mean_tensor(values: np.ndarray) -> Tensor:
    """Means as a float32 tensor of the same shape."""
    return torch.tensor(values, dtype=torch.float32)


def std_tensor(values: np.ndarray) -> Tensor:
    """Standard deviations as a float32 tensor of the same shape, at least STD_FLOOR."""
    return torch.tensor(np.maximum(values, STD_FLOOR), dtype=torch.float32)
