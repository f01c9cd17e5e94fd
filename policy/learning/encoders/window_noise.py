"""Noise on what stays the same on a robot while an instruction is followed."""

import torch
from torch import Tensor

COMPARED = 128  # components by which what is read in two frames is told apart


def window_noise(like: Tensor, frames: int) -> Tensor:
    """Standard normal noise of the shape of `like` (B, ...), the same where a window reads the same; see `first_rows`.

    Drawn anew in each frame it would average out over a window, and a memory would not need to withstand it; drawn
    once for a window, a memory could take it away by what it read under the instruction before.
    """
    return torch.randn_like(like)[first_rows(like, frames)]


def first_rows(read: Tensor, frames: int) -> Tensor:
    """For each row of `read` (B, ...) the first row of its window of `frames` that reads the same, (B,) int64."""
    rows = torch.arange(len(read), device=read.device)
    if frames == 1:
        return rows
    values = read.flatten(1)[:, :: max(1, read[0].numel() // COMPARED)]
    whole = torch.arange(-(-len(read) // frames) * frames, device=read.device).clamp(max=len(read) - 1)
    windows = values[whole].view(-1, frames, values.shape[1]).float()
    same = torch.cdist(windows, windows, p=torch.inf) == 0
    return (same.int().argmax(-1) + rows[::frames, None]).flatten()[: len(read)]
