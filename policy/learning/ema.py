"""Exponential moving average of the weights, which is what is validated and exported."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class ExponentialMovingAverage:
    """The average of a module's parameters, by name."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self.values: dict[str, Tensor] = {name: p.detach().clone() for name, p in module.named_parameters()}

    def update(self, step: int) -> None:
        """Move towards the parameters after a step; a young average follows faster, so that it forgets the start."""
        decay = min(self.decay, (1 + step) / (10 + step))
        parameters = [p.detach() for p in self.module.parameters()]
        torch._foreach_lerp_(list(self.values.values()), parameters, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within it the module has the averaged parameters."""
        trained = {name: p.detach().clone() for name, p in self.module.named_parameters()}
        self._copy(self.values)
        try:
            yield
        finally:
            self._copy(trained)

    @torch.no_grad()
    def _copy(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self.module.named_parameters():
            parameter.copy_(values[name])
