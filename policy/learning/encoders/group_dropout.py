"""Absence of a whole token group, so that a policy also acts without it."""

import torch
from torch import Tensor


def group_dropout(tokens: Tensor, probability: float, training: bool) -> tuple[Tensor, Tensor]:
    """Tokens (B, n, width) and their mask (B, or 1, n) bool; in training each sample's group may be absent.

    A mask that is the same for all samples has one row: a constant, which the export folds away.
    """
    mask = torch.ones(1, tokens.shape[1], dtype=torch.bool, device=tokens.device)
    if training and probability:
        mask = mask & (torch.rand(len(tokens), 1, device=tokens.device) >= probability)
        tokens = tokens * mask[:, :, None]
    return tokens, mask


def where_present(tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens (B, n, width), zero where they are not present (B,) bool, and their mask (B, n) bool."""
    mask = present[:, None].expand(-1, tokens.shape[1])
    return tokens * mask[:, :, None], mask
