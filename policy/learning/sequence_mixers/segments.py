"""What a boundary between recordings cuts off, for the window form of a sequence mixer."""

import torch
from torch import Tensor


def visible(is_first: Tensor, frames: int) -> Tensor:
    """Which frames each frame reads, (B, T, T) bool: itself and the `frames` - 1 before it, none of before a boundary.

    is_first (B, T) bool.
    """
    segment = is_first.int().cumsum(1)
    time = torch.arange(is_first.shape[1], device=is_first.device)
    ago = time[:, None] - time
    return (segment[:, :, None] == segment[:, None]) & (ago >= 0) & (ago < frames)


def shifted(x: Tensor, is_first: Tensor, steps: int) -> Tensor:
    """x (B, T, ...) of `steps` frames ago, 0 where a boundary lies between."""
    if steps == 0:
        return x
    segment = is_first.int().cumsum(1)
    same = torch.zeros_like(is_first)
    same[:, steps:] = segment[:, steps:] == segment[:, :-steps]
    moved = torch.zeros_like(x)
    moved[:, steps:] = x[:, :-steps]
    return moved * same.view(*same.shape, *(1,) * (x.ndim - 2))
