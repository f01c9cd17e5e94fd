"""The parts that a recipe names, each an abstract class: what it gets, what it gives, and the shapes.

    encoders -> tokens (B, n, width) -> mixer -> feature (B, width) -> sequence mixer -> feature -> head -> chunk
                                                                       ^ state of the       |      (B, H, A),
                                                                         frames before      |      normalised
                                                                                            +-> objectives

Letters as in policy/spec.py. Each class has a frozen dataclass `Settings`, whose fields are its keys in a recipe.
A new part is one file and one line in its registry (ENCODERS, MIXERS, SEQUENCE_MIXERS, HEADS, OBJECTIVES).
"""

from typing import Any, ClassVar, NamedTuple

import numpy as np
from torch import Tensor, nn

from policy.learning.normalization import Statistics
from policy.spec import Spec

State = dict[str, Tensor]  # name -> (B, ...), of fixed shapes: what a sequence mixer carries from frame to frame


class Prefix(NamedTuple):
    """The start of a chunk that is committed already: executed whatever comes."""

    chunk: Tensor  # (B, H, A), normalised, 0 beyond the prefix
    mask: Tensor  # (B, H) bool, True in the prefix


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
    positions: tuple[str, ...] = ()  # its parameters with a row for each token

    def __init__(self, settings: Any, width: int, tokens: int) -> None:
        super().__init__()

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """tokens (B, n, width) and mask (B, or 1, n) bool to (B, n, width), causal in n."""
        raise NotImplementedError


class SequenceMixer(nn.Module):
    """Lets the features of a frame read those of the frames before it: over a window in training, step by step running.

    Both forms are equal: `forward` over frames 0 .. T - 1 gives at frame t what `step` gives after frames 0 .. t, each
    with the state that the step before returned. The state before the first frame is zero everywhere.
    """

    Settings: ClassVar[type[Any]]

    def __init__(self, settings: Any, width: int, frames: int) -> None:
        super().__init__()

    @property
    def state(self) -> dict[str, tuple[int, ...]]:
        """The shapes of its state, without the batch."""
        raise NotImplementedError

    def forward(self, x: Tensor, is_first: Tensor) -> Tensor:
        """x (B, T, width) and is_first (B, T) bool, which cuts the past off, to (B, T, width); causal in T."""
        raise NotImplementedError

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x (B, width) of one frame and the state after the frame before to (B, width) and the state after it."""
        raise NotImplementedError


class Head(nn.Module):
    """Turns the action feature into a chunk; targets and samples are normalised."""

    Settings: ClassVar[type[Any]]
    noise: tuple[int, ...] = ()  # shape, without the batch, of the standard normal noise that it samples with

    def __init__(self, settings: Any, width: int, horizon: int, actions: int) -> None:
        super().__init__()

    def prepare(self, targets: Tensor) -> None:
        """Look at targets (N, H, A) of the training data once, before training begins."""

    def loss(self, features: Tensor, target: Tensor, mask: Tensor, prefix: Prefix | None) -> Tensor:
        """features (B, width), target (B, H, A), mask (B, H) of the steps to learn to a scalar."""
        raise NotImplementedError

    def sample(self, features: Tensor, noise: Tensor | None, prefix: Prefix | None) -> Tensor:
        """features (B, width) and noise (B, *self.noise), None where it takes none, to a chunk (B, H, A)."""
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
