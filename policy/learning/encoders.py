"""Encoders: each turns some inputs of the policy into one group of tokens and says which of them are there.

    forward(*inputs, condition) -> tokens (B, n, width), mask (B, or 1, n) bool

`inputs` names what an encoder reads, in order; `tokens` is n. `condition` (B, width) is the sum of the first
tokens of the encoders before it: the cameras are read with FiLM from it. What happens in training only (noise,
drop-out of a whole group) draws from torch's global random state: seeded once a step, a run is repeatable.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from policy.errors import InputError
from policy.spec import Spec

Statistics = dict[str, np.ndarray]  # as policy.data.cache.statistics gives them
FLAT = 8  # channels of the flattened map
STD_FLOOR = 1e-3  # of a joint that hardly moves, so that its noise is not blown up


def std(values: np.ndarray) -> Tensor:
    """Standard deviations as a tensor, floored."""
    return torch.tensor(np.maximum(values, STD_FLOOR), dtype=torch.float32)


def present(tokens: Tensor, drop: float, training: bool) -> tuple[Tensor, Tensor]:
    """Tokens (B, n, width) and their mask; in training a sample's whole group is absent with chance `drop`.

    A mask that is the same for all samples has one row: a constant, which the export folds away.
    """
    mask = torch.ones(1, tokens.shape[1], dtype=torch.bool, device=tokens.device)
    if training and drop:
        mask = mask & (torch.rand(len(tokens), 1, device=tokens.device) >= drop)
        tokens = tokens * mask[:, :, None]
    return tokens, mask


def area_weights(source: int, target: int) -> Tensor:
    """The (target, source) matrix that resizes one axis by averaging areas: exact, and exports anywhere."""
    edges = np.linspace(0, source, target + 1)
    low, high, cell = edges[:-1, None], edges[1:, None], np.arange(source)[None]
    overlap = np.clip(np.minimum(high, cell + 1) - np.maximum(low, cell), 0, None)
    return torch.tensor(overlap / overlap.sum(1, keepdims=True), dtype=torch.float32)


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each pixel: in bf16 on CPU many times faster than GroupNorm."""

    def forward(self, x: Tensor) -> Tensor:
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
        scale, shift = self.film(condition)[:, :, None, None].chunk(2, dim=1)
        h = self.norm(x) * (1 + scale) + shift
        return x + self.second(F.relu(self.first(h)))


class Cameras(nn.Module):
    """One small residual CNN for all cameras, one token for each.

    A camera's image is read at two scales, 1/4 and 1/8. The token joins K soft-argmax keypoints (Levine et
    al. 2016), whose heat maps add both scales so that the condition selects coarsely and the pixels locate
    finely, and a flattened map of few channels.

        image (size) -> 1/4 (stem channels) -> 1/8 (channels) -> flat ----> token
                              |                    |                         ^
                              +---- heat maps <----+ -> (x, y) of K points --+
    """

    @dataclass(frozen=True)
    class Settings:
        size: int = 96  # pixels; native images of another size are resized inside the graph
        stem: int = 32  # channels at 1/4
        channels: int = 64  # channels at 1/8
        blocks: int = 3  # residual blocks at 1/8 (one more at 1/4)
        keypoints: int = 64
        light: float = 0.2  # training: brightness and contrast change by up to this

    def __init__(self, settings: "Cameras.Settings", spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__()
        s = self.settings = settings
        if s.size % 8:
            raise InputError(f"cameras: size {s.size} in the recipe; expected a multiple of 8")
        self.inputs = tuple(f"image_{camera}" for camera in spec.cameras)
        self.tokens = len(self.inputs)
        self.camera = nn.Parameter(0.02 * torch.randn(len(self.inputs), width))
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
        self.register_buffer("grid", grid, persistent=False)  # (pixels, 2): x, y
        for name, (height, columns) in spec.cameras.items():
            if (height, columns) != (s.size, s.size):
                self.register_buffer(f"rows_{name}", area_weights(height, s.size), persistent=False)
                self.register_buffer(f"columns_{name}", area_weights(columns, s.size), persistent=False)

    def forward(self, *images: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        batch, count = images[0].shape[0], len(images)
        x = torch.cat([self.prepare(name, image) for name, image in zip(self.inputs, images, strict=True)])
        condition = torch.cat([condition + embedding for embedding in self.camera])
        tokens = self.read(x, condition)
        return present(tokens.view(count, batch, -1).transpose(0, 1), 0.0, self.training)

    def prepare(self, name: str, image: Tensor) -> Tensor:
        """uint8 (B, h, w, 3) to float (B, 3, size, size) around 0; channels_last, as the bytes lie."""
        x = image.permute(0, 3, 1, 2).float()
        rows = getattr(self, name.replace("image_", "rows_"), None)
        if rows is not None:
            x = rows @ x @ getattr(self, name.replace("image_", "columns_")).T
        x = x * (1 / 64) - 2
        if self.training and self.settings.light:
            gain, offset = self.settings.light * (2 * torch.rand(2, len(x), 1, 1, 1, device=x.device) - 1)
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
        return self.token(torch.cat([points.flatten(1), self.flat(coarse).flatten(1)], 1))


class Proprioception(nn.Module):
    """The joints, normalised, as one token."""

    @dataclass(frozen=True)
    class Settings:
        noise: float = 0.05  # training: of a standard deviation
        drop: float = 0.1  # training: chance that the token is absent

    def __init__(self, settings: "Proprioception.Settings", spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__()
        self.settings, self.inputs, self.tokens = settings, ("state",), 1
        self.register_buffer("mean", torch.tensor(statistics["state_mean"], dtype=torch.float32))
        self.register_buffer("std", std(statistics["state_std"]))
        self.layers = nn.Sequential(nn.Linear(len(spec.state), width), nn.GELU(), nn.Linear(width, width))

    def forward(self, state: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        x = (state - self.mean) / self.std
        if self.training:
            x = x + self.settings.noise * torch.randn_like(x)
        return present(self.layers(x)[:, None], self.settings.drop, self.training)


class Instruction(nn.Module):
    """The sentence embedding as one token.

    In training it is moved by Gaussian noise, because people say things in words that no demonstration had.
    """

    @dataclass(frozen=True)
    class Settings:
        noise: float = 0.4  # training: expected norm of the noise, that of the embedding being 1
        dropout: float = 0.1  # training: of the hidden units

    def __init__(self, settings: "Instruction.Settings", spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__()
        self.settings, self.inputs, self.tokens = settings, ("instruction",), 1
        self.layers = nn.Sequential(
            nn.Linear(spec.text, width),
            nn.GELU(),
            nn.Dropout(settings.dropout),
            nn.Linear(width, width),
            nn.LayerNorm(width),
        )

    def forward(self, instruction: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        if self.training:
            spread = self.settings.noise / instruction.shape[-1] ** 0.5
            instruction = F.normalize(instruction + spread * torch.randn_like(instruction), dim=-1)
        # The embedding has norm 1: scaled so that its components are about 1.
        return present(self.layers(instruction * instruction.shape[-1] ** 0.5)[:, None], 0.0, self.training)


class Execution(nn.Module):
    """What the policy is in the middle of, as two tokens: what was asked before, and what it holds since when.

    The condition-aware embedding of SwitchVLA (previous and current instruction, contact), and the way back to
    where the contact began.
    """

    @dataclass(frozen=True)
    class Settings:
        noise: float = 0.2  # training: expected norm of the noise on the previous instruction
        previous: bool = True  # False, for ablation: it is not told what was asked before ...
        contact: bool = True  # ... or what it holds

    def __init__(self, settings: "Execution.Settings", spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__()
        self.settings, self.tokens = settings, 2
        self.inputs = ("instruction", "previous_instruction", "contact", "contact_origin", "state")
        self.register_buffer("std", std(statistics["state_std"]))
        self.asked = nn.Sequential(nn.Linear(2 * spec.text, width), nn.GELU(), nn.Linear(width, width))
        self.held = nn.Sequential(nn.Linear(1 + len(spec.state), width), nn.GELU(), nn.Linear(width, width))
        for layers in (self.asked, self.held):  # begins as if it were not there
            nn.init.normal_(layers[-1].weight, std=0.01)

    def forward(
        self, instruction: Tensor, previous: Tensor, contact: Tensor, origin: Tensor, state: Tensor, condition: Tensor
    ) -> tuple[Tensor, Tensor]:
        if self.training:
            spread = self.settings.noise / previous.shape[-1] ** 0.5
            previous = F.normalize(previous + spread * torch.randn_like(previous), dim=-1)
        if not self.settings.previous:
            previous = instruction
        if not self.settings.contact:
            contact, origin = torch.zeros_like(contact), state
        asked = torch.cat([previous, previous - instruction], 1) * instruction.shape[-1] ** 0.5
        held = torch.cat([contact, contact * (origin - state) / self.std], 1)
        tokens = torch.stack([self.asked(asked), self.held(held)], 1)
        return present(tokens, 0.0, self.training)


ENCODERS: dict[str, type[nn.Module]] = {
    "instruction": Instruction,
    "execution": Execution,
    "cameras": Cameras,
    "proprioception": Proprioception,
}
