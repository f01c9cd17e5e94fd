"""The mean over the steps of a chunk that are to be learnt."""

from torch import Tensor


def masked_mean(error: Tensor, mask: Tensor) -> Tensor:
    """error (B, H) over the steps where mask (B, H) is True; 0 where there is none."""
    return (error * mask).sum() / mask.sum().clamp(min=1)
