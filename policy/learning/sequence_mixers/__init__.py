"""Sequence mixers: a frame's feature -> one that has read the past (policy.learning.interfaces.SequenceMixer)."""

from policy.learning.interfaces import SequenceMixer
from policy.learning.sequence_mixers.attention import Attention
from policy.learning.sequence_mixers.convolution import Convolution
from policy.learning.sequence_mixers.gru import GRU
from policy.learning.sequence_mixers.gtrxl import GatedTransformer
from policy.learning.sequence_mixers.linear_attention import LinearAttention
from policy.learning.sequence_mixers.none import NoMemory
from policy.learning.sequence_mixers.s4 import S4
from policy.learning.sequence_mixers.state_space import StateSpace
from policy.learning.sequence_mixers.xlstm import XLSTM

SEQUENCE_MIXERS: dict[str, type[SequenceMixer]] = {
    "none": NoMemory,
    "transformer": Attention,
    "gtrxl": GatedTransformer,
    "gru": GRU,
    "convolution": Convolution,
    "linear_attention": LinearAttention,
    "state_space": StateSpace,
    "s4": S4,
    "xlstm": XLSTM,
}
