"""Mixers: tokens of a frame -> tokens that have read each other (policy.learning.interfaces.Mixer)."""

from policy.learning.interfaces import Mixer
from policy.learning.mixers.state_space import StateSpace
from policy.learning.mixers.transformer import Transformer

MIXERS: dict[str, type[Mixer]] = {"transformer": Transformer, "state_space": StateSpace}
