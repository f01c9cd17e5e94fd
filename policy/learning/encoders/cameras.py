"""Camera images as tokens, read by one small CNN that the instruction conditions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from policy.errors import InputError
from policy.learning.encoders.group_dropout import group_dropout
from policy.learning.interfaces import Encoder
from policy.learning.normalization import Statistics
from policy.ranges import NOT_NEGATIVE
from policy.spec import Spec

FLAT = 8  # channels of the flattened map
FAR = 4.0  # m: what a depth camera sees beyond is as far


def area_weights(source: int, target: int) -> Tensor:
    """The (target, source) matrix that resizes one axis by averaging areas: exact, and any runtime executes it."""
    edges = np.linspace(0, source, target + 1)
    low, high, cell = edges[:-1, None], edges[1:, None], np.arange(source)[None]
    overlap = np.clip(np.minimum(high, cell + 1) - np.maximum(low, cell), 0, None)
    return torch.tensor(overlap / overlap.sum(1, keepdims=True), dtype=torch.float32)


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each pixel: in bf16 on CPU many times faster than GroupNorm."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, h, w) to the same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """Pre-norm residual block of two 3x3 convolutions, FiLM (Perez et al. 2018) on its norm."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.film = nn.Linear(condition, 2 * channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.normal_(self.second.weight, std=0.01)  # a block starts close to the identity

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (B, channels, h, w) and condition (B, condition) to the shape of x."""
        scale, shift = self.film(condition)[:, :, None, None].chunk(2, dim=1)
        h = self.norm(x) * (1 + scale) + shift
        residual: Tensor = self.second(F.relu(self.first(h)))
        return x + residual


class Cameras(Encoder):
    """One small residual CNN for all cameras, one token for each.

    A camera's image is read at two scales, 1/4 and 1/8. The token joins K soft-argmax keypoints (Levine et
    al. 2016), whose heat maps add both scales so that the condition selects coarsely and the pixels locate
    finely, and a flattened map of few channels.

        image (size) -> 1/4 (stem channels) -> 1/8 (channels) -> flat ----> token
                              |                    |                         ^
                              +---- heat maps <----+ -> (x, y) of K points --+
    """

    prefix: ClassVar[str] = "image"  # of the inputs that it reads, one a camera
    grid: Tensor  # (pixels at 1/4, 2): x, y from -1 to 1

    @dataclass(frozen=True)
    class Settings:
        size: int = 96  # pixels; native images of another size are resized inside the graph
        stem: int = 32  # channels at 1/4
        channels: int = 64  # channels at 1/8
        blocks: int = field(default=3, metadata=NOT_NEGATIVE)  # residual blocks at 1/8 (one more at 1/4)
        keypoints: int = 64
        color_jitter: float = 0.2  # training: brightness and contrast of a window change by up to this

    def __init__(self, settings: Settings, spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__(settings, spec, width, statistics)
        s = self.settings = settings
        if not spec.cameras:
            name = "cameras" if self.prefix == Cameras.prefix else "goal_image"
            raise InputError(
                f"{name} in the recipe, and the contract has no camera; leave it out of the recipe, or describe a "
                "camera in the contract"
            )
        if s.size % 8:
            raise InputError(f"cameras: size {s.size} in the recipe; expected a multiple of 8")
        self.images = self.inputs = tuple(f"{self.prefix}_{camera}" for camera in spec.cameras)
        self.tokens = len(self.images)
        self.camera = nn.Parameter(0.02 * torch.randn(len(self.images), width))
        self.stem = nn.Conv2d(3, s.stem, 7, stride=4, padding=3)
        self.fine = Block(s.stem, width)
        self.down = nn.Conv2d(s.stem, s.channels, 3, stride=2, padding=1)
        self.coarse = nn.ModuleList(Block(s.channels, width) for _ in range(s.blocks))
        self.heat_fine = nn.Conv2d(s.stem, s.keypoints, 1)
        self.heat_coarse = nn.Conv2d(s.channels, s.keypoints, 1)
        self.flat = nn.Conv2d(s.channels, FLAT, 1)
        self.token = nn.Linear(2 * s.keypoints + FLAT * (s.size // 8) ** 2, width)
        axis = torch.linspace(-1, 1, s.size // 4)
        grid = torch.stack([axis.repeat(len(axis)), axis.repeat_interleave(len(axis))], 1)
        self.register_buffer("grid", grid, persistent=False)
        for name, (height, columns) in spec.cameras.items():
            if (height, columns) != (s.size, s.size):
                self.register_buffer(f"rows_{name}", area_weights(height, s.size), persistent=False)
                self.register_buffer(f"columns_{name}", area_weights(columns, s.size), persistent=False)

    def forward(self, *inputs: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, h, w, 3) uint8 to a token for each; see `Encoder.forward`."""
        return group_dropout(self.tokens_of(inputs, condition), 0.0, self.training)

    def tokens_of(self, images: Sequence[Tensor], condition: Tensor) -> Tensor:
        """An image (B, h, w, 3) uint8 a camera to their tokens (B, C, width)."""
        x = torch.cat([self.prepare(name, image) for name, image in zip(self.images, images, strict=True)])
        condition = (condition[:, None] + self.camera).transpose(0, 1).flatten(0, 1)
        return self.read(x, condition).view(len(images), images[0].shape[0], -1).transpose(0, 1)

    def prepare(self, name: str, image: Tensor) -> Tensor:
        """An image (B, h, w, 3) uint8, or distances (B, h, w, 1) float32, to (B, 3, size, size) float around 0.

        The cache of frames holds images at that size already.
        """
        x = image.permute(0, 3, 1, 2).float()
        camera = name.removeprefix(f"{self.prefix}_")
        rows = getattr(self, f"rows_{camera}", None)
        if rows is not None and x.shape[-2:] != (self.settings.size, self.settings.size):
            columns = getattr(self, f"columns_{camera}").T
            known = rows @ (x > 0).float() @ columns if x.shape[1] == 1 else None
            x = rows @ x @ columns
            if known is not None:  # as the cache does: the mean of the distances that are known, 0 where none is
                x = x / known.clamp(min=1e-6)
        if x.shape[1] == 1:  # distances, in all channels alike
            return (x.clamp(max=FAR) - FAR / 2).expand(-1, 3, -1, -1)
        x = x * (1 / 64) - 2
        if self.training and self.settings.color_jitter:
            drawn = torch.rand(2, -(-len(x) // self.frames), 1, 1, 1, device=x.device)
            changes = self.settings.color_jitter * (2 * drawn - 1)
            gain, offset = changes.repeat_interleave(self.frames, 1)[:, : len(x)]
            x = x * (1 + gain) + 2 * offset
        return x

    def read(self, x: Tensor, condition: Tensor) -> Tensor:
        """Images (N, 3, size, size) and their conditions (N, width) to tokens (N, width)."""
        fine = self.fine(self.stem(x), condition)
        coarse = self.down(fine)
        for block in self.coarse:
            coarse = block(coarse, condition)
        coarse = F.relu(coarse)
        heat = self.heat_fine(F.relu(fine)) + F.interpolate(self.heat_coarse(coarse), scale_factor=2.0)
        points = heat.flatten(2).softmax(-1).to(self.grid.dtype) @ self.grid  # (N, K, 2)
        tokens: Tensor = self.token(torch.cat([points.flatten(1), self.flat(coarse).flatten(1)], 1))
        return tokens
