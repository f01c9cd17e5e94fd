"""The memory of a policy between two inferences, on a fixed grid of frames.

frames      |   |   |   |   |   |   |   |   |
grid        *           *           *           *      one stride apart: the state that is returned is kept
inference   x     x     x           x   x       x      in between: it starts from the last grid frame's, and the
                                                       state that it returns is discarded, as that of a second
                                                       inference from a grid frame, which starts as the first did
"""

import numpy as np

from policy.spec import Spec


class CarriedState:
    """What `state_<name>` a policy reads with the frame of a stamp [ns]; zero where there is no past.

    It begins anew after a clock that was set back and after a gap of more than two strides.
    """

    def __init__(self, spec: Spec) -> None:
        self._shapes, self._stride, self._slack = spec.memory, spec.stride * spec.dt_ns, spec.dt_ns // 2
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._state = {f"state_{name}": np.zeros((1, *shape), np.float32) for name, shape in self._shapes.items()}
        self._before = self._state  # what the newest grid frame was read with
        self._at: int | None = None  # ns, the stamp of the newest grid frame

    def due(self, stamp: int) -> bool:
        """Whether a frame of this stamp is the next one of the grid."""
        return bool(self._shapes) and (self._at is None or not 0 <= stamp - self._at < self._stride - self._slack)

    def inputs(self, stamp: int) -> dict[str, np.ndarray]:
        """The state that goes with a frame, B = 1."""
        if self._at is not None and not 0 <= stamp - self._at <= 2 * self._stride + self._slack:
            self.reset()
        # a new instruction may ask again about the frame that is remembered already
        return self._before if stamp == self._at else self._state

    def update(self, stamp: int, outputs: dict[str, np.ndarray]) -> None:
        """Keep what the graph returned for a frame, if it is one of the grid."""
        if self.due(stamp):
            self._before = self._state
            self._state = {name: outputs[f"{name}_next"] for name in self._state}
            self._at = stamp
