"""Heads: action feature -> chunk, and its loss (policy.learning.interfaces.Head)."""

from policy.learning.heads.bins import Bins
from policy.learning.heads.bins_offset import BinsOffset
from policy.learning.heads.diffusion import Diffusion
from policy.learning.heads.flow import Flow
from policy.learning.heads.l1 import L1
from policy.learning.heads.l2 import L2
from policy.learning.heads.masked_trajectory import MaskedTrajectory
from policy.learning.heads.retrieval import Retrieval
from policy.learning.interfaces import Head

HEADS: dict[str, type[Head]] = {
    "l1": L1,
    "l2": L2,
    "flow": Flow,
    "diffusion": Diffusion,
    "bins": Bins,
    "bins_offset": BinsOffset,
    "masked_trajectory": MaskedTrajectory,
    "retrieval": Retrieval,
}
