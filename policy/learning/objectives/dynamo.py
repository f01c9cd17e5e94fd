"""Latent inverse and forward dynamics at once, without actions.

DynaMo: In-Domain Dynamics Pretraining for Visuo-Motor Control (Cui et al. 2024).

frame, next frame -> latent action z        frame, z -> next frame's feature, through which no gradient flows
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from policy.learning.interfaces import Features, Objective, Trained
from policy.learning.normalization import Statistics
from policy.learning.recorded import neighbours
from policy.spec import Spec

LATENT = 16  # numbers of z: too few to hold the next frame itself
COVARIANCE = 0.04  # weight of what keeps the features' numbers apart, as in the paper
VARIANCE = 1.0  # weight of what keeps frames apart: without it all features become one, which explains every change


class DynaMo(Objective):
    """A small latent explains the change from a frame to the next."""

    windows: ClassVar[bool] = True

    def __init__(self, spec: Spec, width: int, statistics: Statistics) -> None:
        super().__init__(spec, width, statistics)
        self.inverse = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, LATENT))
        self.forward_dynamics = nn.Sequential(nn.Linear(width + LATENT, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, features: Features, batch: dict[str, Tensor], policy: Trained) -> Tensor:
        """One minus the cosine of predicted and next feature, plus the penalties of covariance and of no variance."""
        now, following, valid = neighbours(features.frame, batch["is_first"])
        latent = self.inverse(torch.cat([now, following], -1))
        predicted = self.forward_dynamics(torch.cat([now, latent], -1)).float()
        error = 1 - torch.cosine_similarity(predicted, following.detach().float(), dim=-1)
        there = batch.get("there", torch.ones_like(features.frame[:, 0], dtype=torch.bool))  # others repeat a frame
        apart = COVARIANCE * covariance(features.frame, there) + VARIANCE * sameness(features.frame, there)
        loss: Tensor = (error * valid).sum() / valid.sum().clamp(min=1) + apart
        return loss


def sameness(features: Tensor, there: Tensor) -> Tensor:
    """How far the standard deviations of the numbers of features (B, width) lie below 1, in the mean (VICReg).

    Of the rows that are `there` (B,) bool.
    """
    variance = _centred(features, there).square().sum(0) / (there.sum() - 1).clamp(min=1)
    lacking: Tensor = (1 - (variance + 1e-4).sqrt()).clamp(min=0).mean()
    return lacking


def covariance(features: Tensor, there: Tensor) -> Tensor:
    """Sum of the squared covariances of different numbers of features (B, width), a width's share (VICReg).

    Of the rows that are `there` (B,) bool.
    """
    x = _centred(features, there)
    matrix = x.T @ x / (there.sum() - 1).clamp(min=1)
    penalty: Tensor = (matrix - matrix.diagonal().diag()).square().sum() / x.shape[1]
    return penalty


def _centred(features: Tensor, there: Tensor) -> Tensor:
    """Features (B, width) less their mean over the rows that are there, 0 in the others."""
    rows, x = there[:, None].float(), features.float()
    return rows * (x - (rows * x).sum(0) / rows.sum().clamp(min=1))
