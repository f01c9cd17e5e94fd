"""Mixers: `forward(tokens (B, n, width), mask (B, n) bool) -> (B, n, width)`; the order of tokens is causal."""

from torch import nn

from policy.mixers.transformer import Transformer

MIXERS: dict[str, type[nn.Module]] = {"transformer": Transformer}
