"""Noise on what stays the same on a robot while an instruction is followed."""

import torch
from torch import Tensor


def window_noise(like: Tensor, frames: int) -> Tensor:
    """Standard normal noise of the shape of `like` (B, ...), the same in each `frames` rows in a row.

    Drawn anew in each frame it would average out over a window, and a memory would not need to withstand it.
    """
    return per_row(torch.randn_like(like[::frames]), frames, len(like))


def per_row(drawn: Tensor, frames: int, rows: int) -> Tensor:
    """What is drawn for each window, (ceil(B / frames), ...), for each of its rows, (B, ...)."""
    return drawn.repeat_interleave(frames, 0)[:rows]
