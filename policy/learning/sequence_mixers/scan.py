"""A linear recurrence over the frames of a window, for all frames at once."""

import torch
from torch import Tensor


def scan(decay: Tensor, added: Tensor) -> Tensor:
    """h_t = decay_t * h_(t-1) + added_t, (B, T, ...), real or complex, in log2(T) passes (Hillis and Steele 1986).

    A decay of 0 is a reset: nothing of before it is left. Both are broadcast against each other after T.
    """
    frames, steps = decay.shape[1], 1
    while steps < frames:
        added = torch.cat([added[:, :steps], added[:, steps:] + decay[:, steps:] * added[:, :-steps]], 1)
        decay = torch.cat([decay[:, :steps], decay[:, steps:] * decay[:, :-steps]], 1)
        steps *= 2
    return added
