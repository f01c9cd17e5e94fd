"""Regression of the whole chunk under the squared error, as Decision Transformer and Decision Mamba have it."""

from torch import Tensor

from policy.learning.heads.l1 import L1
from policy.learning.heads.masked import masked_mean
from policy.learning.interfaces import Prefix


class L2(L1):
    """As `L1`, but what is far off weighs more: a wrong label does, too."""

    def loss(self, features: Tensor, target: Tensor, mask: Tensor, prefix: Prefix | None) -> Tensor:
        """Mean squared error over the steps that the mask (B, H) marks; see `Head.loss`."""
        return masked_mean((self.sample(features, None, prefix) - target).square().mean(-1), mask)
