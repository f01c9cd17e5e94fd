"""The mean over what is to be learnt."""

from torch import Tensor


def masked_mean(error: Tensor, mask: Tensor) -> Tensor:
    """error (B, H), or (B,), over where mask, of the same shape, is True; 0 where it nowhere is."""
    return (error * mask).sum() / mask.sum().clamp(min=1)
