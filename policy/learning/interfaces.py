"""The parts that a recipe names, each an abstract class: what it gets, what it gives, and the shapes.

    encoders -> tokens (B, n, width) -> mixer -> feature (B, width) -> sequence mixer -> feature -> head -> chunk
                                                                       ^ state of the       |      (B, H, A),
                                                                         frames before      |      normalised
                                                                                            +-> objectives

Letters as in policy/spec.py. Each class has a frozen dataclass `Settings`, whose fields are its keys in a recipe.
A new part is one file and one line in its registry (ENCODERS, MIXERS, SEQUENCE_MIXERS, HEADS, OBJECTIVES). It keeps to
this:

    Settings      each has a default; a number has the range of policy/ranges.py that stands beside its field
    __init__      reads no value of a tensor (`.item()`, `if x > 0`): `Policy.describe` makes parts on the device `meta`
    parameters    weight decay goes by their names: it is for matrices called `weight`..., or `taps`
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from torch import Tensor, nn

from policy.learning.normalization import Statistics
from policy.spec import Spec

State = dict[str, Tensor]  # name -> (B, ...), of fixed shapes: what a sequence mixer carries from frame to frame


class Prefix(NamedTuple):
    """The start of a chunk that is committed already: executed whatever comes."""

    chunk: Tensor  # (B, H, A), normalised, 0 beyond the prefix
    mask: Tensor  # (B, H) bool, True in the prefix


class Features(NamedTuple):
    """What the policy makes of the frames of a batch, for its head and for objectives."""

    tokens: dict[str, Tensor]  # encoder -> (B, n, width), its tokens after the mixer; {} if no objective reads them
    frame: Tensor  # (B, width) of each frame by itself
    mixed: Tensor  # (B, width) once it has read the frames before; what the head gets


class Trained(Protocol):
    """The policy as an objective sees it."""

    head: "Head"

    def predict(self, batch: dict[str, Tensor]) -> Tensor:
        """The chunk (B, H, A), normalised, of a batch as `Policy.loss` gets it."""

    def prefix(self, named: dict[str, Tensor]) -> "Prefix | None":
        """What is committed of the chunks of a batch; None where the policy does not read it."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """As of every module."""


class Encoder(nn.Module):
    """Turns some inputs of the policy into one group of tokens.

    What happens in training only (noise, dropout of a whole group) draws from torch's global random state: seeded
    once a step, a run is repeatable.
    """

    Settings: ClassVar[type[Any]]
    inputs: tuple[str, ...]  # the inputs of the graph that `forward` reads, in order
    tokens: int  # n
    frames: int = 1  # T, in training: rows in a row that are one window
    apart: ClassVar[bool] = False  # its tokens read those of all other encoders, named before, but not each other

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

    def __init__(self, settings: Any, width: int, tokens: int, readable: Tensor | None = None) -> None:
        """`readable` (n, n) bool: which token (column) each (row) may read of those before it; None: all."""
        super().__init__()

    def forward(self, tokens: Tensor, mask: Tensor, last: bool = False) -> Tensor:
        """tokens (B, n, width) and mask (B, or 1, n) bool to (B, n, width), causal in n.

        With `last` only the last token is asked for, (B, 1, width): what the others become is not computed.
        """
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
    guided: bool = False  # it samples with the feature without conditions, too: `sample_guided` in place of `sample`
    indexed: int = 0  # the number of frames of the recordings that it wants to see before export: `index`

    def __init__(self, settings: Any, width: int, horizon: int, actions: int) -> None:
        super().__init__()

    def prepare(self, targets: Tensor) -> None:
        """Look at targets (N, H, A) of the training data once, before training begins."""

    def go_on(self, targets: Tensor) -> str:
        """Look at targets (N, H, A) of new training data, with weights that are learnt; what it changes, "" if nothing.

        Once, before training goes on from these weights.
        """
        return ""

    def loss(self, features: Tensor, target: Tensor, mask: Tensor, prefix: Prefix | None) -> Tensor:
        """features (B, width), target (B, H, A), mask (B, H) of the steps to learn to a scalar."""
        raise NotImplementedError

    def sample(self, features: Tensor, noise: Tensor | None, prefix: Prefix | None) -> Tensor:
        """features (B, width) and noise (B, *self.noise), None where it takes none, to a chunk (B, H, A)."""
        raise NotImplementedError

    def sample_guided(self, features: Tensor, absent: Tensor, noise: Tensor | None, prefix: Prefix | None) -> Tensor:
        """As `sample`, led away from what the features `absent` (B, width) give, those without the conditions."""
        raise NotImplementedError

    def index(self, features: Tensor, targets: Tensor) -> None:
        """Keep features (N, width) and chunks (N, H, A) of frames of the recordings; once, before export."""
        raise NotImplementedError


class Objective(nn.Module):
    """A further loss on what the policy makes of frames, in training."""

    windows: ClassVar[bool] = False  # it compares the frames of a window: the recipe must have memory
    instead: ClassVar[bool] = False  # it stands in place of the head's loss: the recipe's action_weight must be 0
    reads_tokens: ClassVar[bool] = False  # what the mixer makes of all tokens, not of the action token alone
    needs: ClassVar[Mapping[str, str]] = {}  # axis of a recipe -> the member that it works with

    def __init__(self, spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__()

    def begin(self, policy: Trained) -> None:
        """Look at the policy once, when it is whole."""

    @staticmethod
    def labels(cache: Any) -> np.ndarray | None:
        """The labels (N, ...) of all N frames of a cache, made once; None where it needs none."""
        return None

    def forward(self, features: Features, batch: dict[str, Tensor], policy: Trained) -> Tensor:
        """Features and batch, as `Policy.loss` gets it, to a scalar.

        `batch` also holds the labels under the objective's name, `target` (B, H, A), normalised, and `learnt` (B, H);
        with memory `there` (B,), False in rows before a recording.
        """
        raise NotImplementedError
