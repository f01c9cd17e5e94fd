"""A choice among typical chunks, and an offset from it.

Behavior Transformers (Shafiullah et al. 2022); C-BeT (Cui et al. 2022).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from policy.learning.heads.masked import masked_mean
from policy.learning.interfaces import Head, Prefix

ROUNDS = 30  # of k-means
FOCUS = 2.0  # exponent of the focal loss (Lin et al. 2017), as in the papers
LEAST, MOST = 1e-4, 1 - 1e-3  # of what is drawn from 0 to 1: float16, too, tells both from 0 and 1


class BinsOffset(Head):
    """The whole chunk is one of `bins` centres of the training data, sampled, plus the offset learnt for that one."""

    centres: Tensor  # (bins, H, A)

    @dataclass(frozen=True)
    class Settings:
        bins: int = 64
        hidden: int = 256

    def __init__(self, settings: Settings, width: int, horizon: int, actions: int) -> None:
        super().__init__(settings, width, horizon, actions)
        self.settings, self.noise = settings, (settings.bins,)
        self.layers = nn.Sequential(nn.Linear(width, settings.hidden), nn.GELU())
        self.logits = nn.Linear(settings.hidden, settings.bins)
        self.offsets = nn.Linear(settings.hidden, settings.bins * horizon * actions)
        nn.init.normal_(self.offsets.weight, std=0.01)
        self.register_buffer("centres", torch.randn(settings.bins, horizon, actions))

    def prepare(self, targets: Tensor) -> None:
        """The centres are those of k-means over the targets."""
        self.centres.copy_(_k_means(targets.flatten(1), self.settings.bins).view_as(self.centres))

    def loss(self, features: Tensor, target: Tensor, mask: Tensor, prefix: Prefix | None) -> Tensor:
        """Focal loss of the nearest centre plus the mean absolute error of its offset, over the steps of the mask."""
        h = self.layers(features)
        nearest = self._away(target, mask).argmin(1)
        log_p: Tensor = self.logits(h).float().log_softmax(-1).gather(1, nearest[:, None])[:, 0]
        focal = -((1 - log_p.exp()) ** FOCUS) * log_p
        some = mask.any(1)
        offsets = self.offsets(h).float().unflatten(-1, self.centres.shape)
        rows = torch.arange(len(nearest), device=nearest.device)
        error = self.centres[nearest] + offsets[rows, nearest] - target
        choice: Tensor = (focal * some).sum() / some.sum().clamp(min=1)
        return choice + masked_mean(error.abs().mean(-1), mask)

    def sample(self, features: Tensor, noise: Tensor | None, prefix: Prefix | None) -> Tensor:
        """features (B, width) and noise (B, bins), which draws the centre, to a chunk (B, H, A)."""
        assert noise is not None
        h = self.layers(features)
        logits = self.logits(h).float()
        if prefix is not None:  # a centre far from what is committed does not continue it
            logits = logits - self._away(prefix.chunk, prefix.mask)
        uniform = (0.5 * (1 + torch.erf(noise * 0.5**0.5))).clamp(LEAST, MOST)
        drawn = (logits - (-uniform.log()).log()).argmax(-1)  # Gumbel's trick: a sample of the softmax
        return self._chunk(h, drawn)

    def _away(self, chunk: Tensor, mask: Tensor) -> Tensor:
        """Squared distances (B, bins) of chunks (B, H, A) from the centres, over the steps of the mask (B, H)."""
        marked = mask[..., None].to(chunk.dtype)
        own = (marked * chunk.square()).mean(-1).sum(1, keepdim=True)
        theirs = mask.to(chunk.dtype) @ self.centres.square().mean(-1).T
        both = (marked * chunk).flatten(1) @ self.centres.flatten(1).T / self.centres.shape[-1]
        return own - 2 * both + theirs

    def _chunk(self, h: Tensor, chosen: Tensor) -> Tensor:
        """The chunk (B, H, A) of chosen centres (B,); only their offsets are computed."""
        bins, numbers = self.centres.shape[0], self.centres[0].numel()
        weight = self.offsets.weight.view(bins, numbers, -1)[chosen]
        offsets = (weight @ h[..., None]).squeeze(-1) + self.offsets.bias.view(bins, numbers)[chosen]
        return self.centres[chosen] + offsets.float().view(-1, *self.centres.shape[1:])


def _k_means(points: Tensor, count: int) -> Tensor:
    """Centres (count, F) of points (N, F) by Lloyd's algorithm, begun with points drawn far from each other."""
    generator = torch.Generator().manual_seed(0)
    centres = points[:1]
    while len(centres) < count:  # k-means++ (Arthur and Vassilvitskii 2007)
        away = torch.cdist(points, centres).amin(1).square() + 1e-9
        centres = torch.cat([centres, points[torch.multinomial(away, 1, generator=generator)]])
    for _ in range(ROUNDS):
        nearest = torch.cdist(points, centres).argmin(1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        members = torch.bincount(nearest, minlength=count)[:, None]
        centres = torch.where(members > 0, sums / members.clamp(min=1), centres)
    return centres
