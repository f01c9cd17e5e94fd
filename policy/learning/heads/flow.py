"""Flow matching (Lipman et al. 2022; as in pi0, Black et al. 2024), its Euler steps unrolled in the graph.

    x(t) = (1 - t) noise + t action,  v = action - noise;  running: x from noise at t = 0 to the action at t = 1

Time is given for each step of the chunk: a committed one is at t = 1 from the beginning (training-time real-time
chunking, arXiv 2512.05964).
"""

import torch
from torch import Tensor

from policy.learning.heads.chunk_denoiser import ChunkDenoiser, committed
from policy.learning.heads.masked import masked_mean
from policy.learning.interfaces import Prefix


class Flow(ChunkDenoiser):
    """The network gives the velocity from noise to action."""

    def loss(self, features: Tensor, target: Tensor, mask: Tensor, prefix: Prefix | None) -> Tensor:
        """Mean squared error of the velocity at a random time, over the steps that the mask (B, H) marks."""
        target = torch.where(mask[..., None], target, 0.0)  # what is not learnt is not read by its neighbours
        noise = torch.randn_like(target)
        time = torch.rand(len(target), 1, device=target.device).expand(-1, target.shape[1])
        x, time = committed(noise + time[..., None] * (target - noise), time, prefix, 1.0)
        error = (self.network(x, time, features) - (target - noise)).square().mean(-1)
        return masked_mean(error, mask)

    def sample(self, features: Tensor, noise: Tensor | None, prefix: Prefix | None) -> Tensor:
        """features (B, width) and noise (B, H, A) to a chunk (B, H, A)."""
        assert noise is not None
        x = noise
        for step in range(self.steps):
            x, time = committed(x, torch.full_like(x[..., 0], step / self.steps), prefix, 1.0)
            x = x + self.network(x, time, features) / self.steps
        return x
