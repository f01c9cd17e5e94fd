"""A linear recurrence over the frames of a window."""

from collections.abc import Iterator

import torch
from torch import Tensor


def states(decay: Tensor, added: Tensor) -> Iterator[Tensor]:
    """h_t = decay_t * h_(t-1) + added_t of each frame, (B, ...), real or complex; decay and added are (B, T, ...).

    A decay of 0 is a reset: nothing of before it is left. It is broadcast to what is added. One frame comes after the
    other, as log2(T) passes over all of them (Hillis and Steele 1986) move more memory, which is what a CPU waits for;
    for the same reason, read a large state as it comes.
    """
    h = torch.zeros_like(added[:, 0])
    for factor, value in zip(decay.unbind(1), added.unbind(1), strict=True):
        h = factor * h + value
        yield h


def scan(decay: Tensor, added: Tensor) -> Tensor:
    """All states, (B, T, ...); see `states`."""
    return torch.stack(list(states(decay, added)), 1)
