"""Sequence mixers: a frame's feature -> one that has read the past (policy.learning.interfaces.SequenceMixer)."""

from policy.learning.interfaces import SequenceMixer
from policy.learning.sequence_mixers.attention import Attention
from policy.learning.sequence_mixers.gru import GRU
from policy.learning.sequence_mixers.none import NoMemory
from policy.learning.sequence_mixers.state_space import StateSpace

SEQUENCE_MIXERS: dict[str, type[SequenceMixer]] = {
    "none": NoMemory,
    "transformer": Attention,
    "gru": GRU,
    "state_space": StateSpace,
}
