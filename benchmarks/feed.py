"""What a graph reads, as the spec of its policy says."""

import numpy as np

from policy.spec import Spec


def zeros(spec: Spec) -> dict[str, np.ndarray]:
    """One frame of zeros, batch 1, of every input by name."""
    return {name: np.zeros((1, *shape), kind) for name, (kind, shape) in spec.inputs().items()}
