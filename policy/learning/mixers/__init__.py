"""Mixers: `forward(tokens (B, n, width), mask (B or 1, n) bool) -> (B, n, width)`, causal in the tokens."""

from torch import nn

from policy.learning.mixers.transformer import Transformer

MIXERS: dict[str, type[nn.Module]] = {"transformer": Transformer}
