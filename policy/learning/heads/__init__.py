"""Heads: what turns the action feature into a chunk.

    loss(features (B, width), target (B, H, A), mask (B, H)) -> scalar
    sample(features (B, width), noise) -> (B, H, A)

Targets and samples are normalised; nobody but the recipe knows which head it is.
"""

from torch import nn

from policy.learning.heads.l1 import L1

HEADS: dict[str, type[nn.Module]] = {"l1": L1}
