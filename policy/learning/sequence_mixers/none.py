"""No memory: the control of every other member, trained on the same windows."""

from dataclasses import dataclass

from torch import Tensor

from policy.learning.interfaces import SequenceMixer, State


class NoMemory(SequenceMixer):
    """Each frame for itself."""

    @dataclass(frozen=True)
    class Settings:
        pass

    @property
    def state(self) -> dict[str, tuple[int, ...]]:
        """Nothing."""
        return {}

    def forward(self, x: Tensor, is_first: Tensor) -> Tensor:
        """x (B, T, width) as it is."""
        return x

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x (B, width) as it is."""
        return x, {}
