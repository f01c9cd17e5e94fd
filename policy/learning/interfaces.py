"""The parts that a recipe names, each an abstract class: what it gets, what it gives, and the shapes.

    encoders -> tokens (B, n, width) -> mixer -> feature (B, width) -> head -> chunk (B, H, A), normalised
                                                        |
                                                        +-> objectives -> further losses

Letters as in policy/spec.py. Each class has a frozen dataclass `Settings`, whose fields are its keys in a recipe.
A new part is one file and one line in its registry (ENCODERS, MIXERS, HEADS, OBJECTIVES).
"""

from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from policy.learning.normalization import Statistics
from policy.spec import Spec


class Encoder(nn.Module):
    """Turns some inputs of the policy into one group of tokens.

    What happens in training only (noise, dropout of a whole group) draws from torch's global random state: seeded
    once a step, a run is repeatable.
    """

    Settings: ClassVar[type[Any]]
    inputs: tuple[str, ...]  # the inputs of the graph that `forward` reads, in order
    tokens: int  # n

    def __init__(self, settings: Any, spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__()

    def forward(self, *inputs: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (B, ...) to tokens (B, n, width) and their mask (B, or 1, n), bool, False where absent.

        `condition` (B, width) is the sum of the first tokens of the encoders before it.
        """
        raise NotImplementedError


class Mixer(nn.Module):
    """Lets the tokens of a frame read each other."""

    Settings: ClassVar[type[Any]]

    def __init__(self, settings: Any, width: int, tokens: int) -> None:
        super().__init__()

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """tokens (B, n, width) and mask (B, or 1, n) bool to (B, n, width), causal in n."""
        raise NotImplementedError


class Head(nn.Module):
    """Turns the action feature into a chunk; targets and samples are normalised."""

    Settings: ClassVar[type[Any]]

    def __init__(self, settings: Any, width: int, horizon: int, actions: int) -> None:
        super().__init__()

    def loss(self, features: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """features (B, width), target (B, H, A), mask (B, H) to a scalar."""
        raise NotImplementedError

    def sample(self, features: Tensor, noise: Tensor | None) -> Tensor:
        """features (B, width) to a chunk (B, H, A)."""
        raise NotImplementedError


class Objective(nn.Module):
    """A further loss on the action feature, in training."""

    def __init__(self, spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__()

    @staticmethod
    def labels(cache: Any) -> np.ndarray:
        """The labels (N, ...) of all N frames of a cache, made once."""
        raise NotImplementedError

    def forward(self, features: Tensor, label: Tensor) -> Tensor:
        """features (B, width) and label (B, ...) to a scalar."""
        raise NotImplementedError
