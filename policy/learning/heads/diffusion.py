"""Score-based diffusion with few-step samplers and classifier-free guidance.

Goal-Conditioned Imitation Learning using Score-based Diffusion Policies (BESO, Reuss et al. 2023), in the terms of
Elucidating the Design Space of Diffusion-Based Generative Models (Karras et al. 2022):

    x = action + sigma noise        D(x; sigma) = c_skip x + c_out network(c_in x), an estimate of the action
    running: x from sigma_max noise down a ladder of sigmas to 0, whose number of steps is chosen after training
    guided: D = D(without conditions) + guidance (D(with them) - D(without))
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from policy.learning.heads.chunk_denoiser import ChunkDenoiser, committed
from policy.learning.heads.masked import masked_mean
from policy.learning.interfaces import Prefix

SIGMA_MIN, SIGMA_MAX = 0.02, 20.0  # of the ladder; targets have a deviation of 1
RHO = 7.0  # how the ladder is spaced
MEAN, SPREAD = -1.0, 1.2  # of the logarithm of sigma in training
Denoise = Callable[[Tensor, float], Tensor]  # x (B, H, A) and sigma to an estimate of the action


def ddim(x: Tensor, sigma: float, following: float, denoise: Denoise) -> Tensor:
    """One evaluation a step (Denoising Diffusion Implicit Models, Song et al. 2020)."""
    estimate = denoise(x, sigma)
    return estimate + following / sigma * (x - estimate)


def heun(x: Tensor, sigma: float, following: float, denoise: Denoise) -> Tensor:
    """Two evaluations a step, but for the last (Karras et al. 2022); at fewer than about five steps it is worse."""
    slope = (x - denoise(x, sigma)) / sigma
    there = x + (following - sigma) * slope
    if following == 0:
        return there
    return x + (following - sigma) * 0.5 * (slope + (there - denoise(there, following)) / following)


SAMPLERS = {"ddim": ddim, "heun": heun}


class Diffusion(ChunkDenoiser):
    """The network estimates the action at any level of noise; steps, sampler and guidance change no weight."""

    @dataclass(frozen=True)
    class Settings(ChunkDenoiser.Settings):
        steps: int = 3  # while running
        sampler: Literal["ddim", "heun"] = "ddim"
        guidance: float = 1.0  # 0: as if no condition were given, 1: as trained, above: led further towards them

    def __init__(self, settings: Settings, width: int, horizon: int, actions: int) -> None:
        super().__init__(settings, width, horizon, actions)
        self.sampler, self.guidance, self.guided = SAMPLERS[settings.sampler], settings.guidance, settings.guidance != 1
        high, low = SIGMA_MAX ** (1 / RHO), SIGMA_MIN ** (1 / RHO)
        shares = [step / max(1, self.steps - 1) for step in range(self.steps)]
        self.ladder = [(high + share * (low - high)) ** RHO for share in shares] + [0.0]

    def loss(self, features: Tensor, target: Tensor, mask: Tensor, prefix: Prefix | None) -> Tensor:
        """Mean squared error of what the network is to give, over the steps that the mask (B, H) marks."""
        target = torch.where(mask[..., None], target, 0.0)  # what is not learnt is not read by its neighbours
        sigma = (MEAN + SPREAD * torch.randn(len(target), 1, device=target.device)).exp().expand(-1, target.shape[1])
        x, sigma = committed(target + sigma[..., None] * torch.randn_like(target), sigma, prefix, SIGMA_MIN)
        scale = (1 + sigma.square()).rsqrt()[..., None]
        wanted = (target - scale.square() * x) / (sigma[..., None] * scale)
        return masked_mean((self._network(x, sigma, features) - wanted).square().mean(-1), mask)

    def sample(self, features: Tensor, noise: Tensor | None, prefix: Prefix | None) -> Tensor:
        """features (B, width) and noise (B, H, A) to a chunk (B, H, A)."""
        return self._sample(noise, lambda x, sigma: self._denoise(x, sigma, features, prefix))

    def sample_guided(self, features: Tensor, absent: Tensor, noise: Tensor | None, prefix: Prefix | None) -> Tensor:
        """As `sample`, led away from what the features without conditions give."""

        def denoise(x: Tensor, sigma: float) -> Tensor:
            plain = self._denoise(x, sigma, absent, prefix)
            return plain + self.guidance * (self._denoise(x, sigma, features, prefix) - plain)

        return self._sample(noise, denoise)

    def _sample(self, noise: Tensor | None, denoise: Denoise) -> Tensor:
        assert noise is not None
        x = SIGMA_MAX * noise
        for sigma, following in zip(self.ladder[:-1], self.ladder[1:], strict=True):
            x = self.sampler(x, sigma, following, denoise)
        return x

    def _denoise(self, x: Tensor, level: float, features: Tensor, prefix: Prefix | None) -> Tensor:
        x, sigma = committed(x, torch.full_like(x[..., 0], level), prefix, SIGMA_MIN)
        scale = (1 + sigma.square()).rsqrt()[..., None]
        return scale.square() * x + sigma[..., None] * scale * self._network(x, sigma, features)

    def _network(self, x: Tensor, sigma: Tensor, features: Tensor) -> Tensor:
        scaled = x * (1 + sigma.square()).rsqrt()[..., None]
        time = (sigma.log() - math.log(SIGMA_MIN)) / math.log(SIGMA_MAX / SIGMA_MIN)
        return self.network(scaled, time, features)
