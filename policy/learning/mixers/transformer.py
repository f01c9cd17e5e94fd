"""Causal pre-norm transformer (Vaswani et al. 2017; the shape of GPT-2)."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from policy.learning.attention_heads import check_heads
from policy.learning.interfaces import Mixer
from policy.ranges import PART


class Layer(nn.Module):
    """Self-attention and an MLP, each added to its input.

    Tokens lie as rows (B * n, width), so that each linear layer is one matrix product with its bias: for a handful
    of tokens, the time of an inference is the number of operations and of weights to read (hence an MLP of only
    twice the width).
    """

    def __init__(self, width: int, heads: int, tokens: int, dropout: float) -> None:
        super().__init__()
        self.tokens, self.heads, self.size, self.drop = tokens, heads, width // heads, nn.Dropout(dropout)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor, bias: Tensor, last: bool = False) -> Tensor:
        """x (B * n, width) to the same shape, or with `last` to (B, width), what becomes of the last token.

        bias (B or 1, 1, n, n) is added to the scores, -1e9 where masked.
        """
        parts = self.qkv(self.norm1(x)).chunk(3, -1)
        q, k, v = (part.reshape(-1, self.tokens, self.heads, self.size).transpose(1, 2) for part in parts)
        if last:
            q, bias, x = q[:, :, -1:], bias[:, :, -1:], x.reshape(-1, self.tokens, x.shape[-1])[:, -1]
        scores = q @ k.transpose(-1, -2) * self.size**-0.5 + bias
        h = (scores.softmax(-1).to(v.dtype) @ v).transpose(1, 2).reshape(-1, self.heads * self.size)
        x = x + self.drop(self.out(h))
        mlp: Tensor = self.drop(self.mlp(self.norm2(x)))
        return x + mlp


class Transformer(Mixer):
    """Layers over a row of tokens whose number and order are fixed, hence one learned position for each."""

    positions = ("position",)
    causal: Tensor  # (n, n) bool
    diagonal: Tensor  # (n, n) bool

    @dataclass(frozen=True)
    class Settings:
        layers: int = 4
        heads: int = 4
        dropout: float = field(default=0.1, metadata=PART)

    def __init__(self, settings: Settings, width: int, tokens: int, readable: Tensor | None = None) -> None:
        super().__init__(settings, width, tokens, readable)
        check_heads("mixer", width, settings.heads)
        self.position = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.layers = nn.ModuleList(
            Layer(width, settings.heads, tokens, settings.dropout) for _ in range(settings.layers)
        )
        self.norm = nn.LayerNorm(width)
        causal = torch.ones(tokens, tokens, dtype=torch.bool).tril()
        self.register_buffer("causal", causal if readable is None else causal & readable, persistent=False)
        self.register_buffer("diagonal", torch.eye(tokens, dtype=torch.bool), persistent=False)

    def forward(self, tokens: Tensor, mask: Tensor, last: bool = False) -> Tensor:
        """tokens (B, n, width) and mask (B or 1, n) to (B, n, width); see `Mixer.forward`."""
        # A token always reads itself, so that no row of the attention is empty.
        visible = ((self.causal & mask[:, None]) | self.diagonal)[:, None]
        bias = torch.where(visible, 0.0, -1e9)
        x = (tokens + self.position).flatten(0, 1)
        for i, layer in enumerate(self.layers, 1):
            x = layer(x, bias, last and i == len(self.layers))
        mixed: Tensor = self.norm(x)
        return mixed.reshape(tokens.shape[0], -1, mixed.shape[-1])
