"""Random disturbances of the arm, so that demonstrations show how to recover (after DART, Laskey et al. 2017)."""

import numpy as np

DRIFT = 0.004  # rad, standard deviation of the slow drift's change in a control step
DECAY = 0.88  # of the drift, in a control step
SHOVE = 0.07  # rad, standard deviation of a shove
CHANCE = 0.02  # that a shove begins in a control step
LASTING = (4, 9)  # control steps of a shove


class Disturbance:
    """A slow drift of all joints with an occasional shove; grippers, a mask (N,) bool, are not disturbed."""

    def __init__(self, rng: np.random.Generator, grippers: np.ndarray) -> None:
        self._rng, self._grippers, self._left = rng, grippers, 0
        self._drift, self._shove = np.zeros(len(grippers)), np.zeros(len(grippers))

    def __call__(self) -> np.ndarray:
        """What is added to the set-points (N,) [rad] in this control step."""
        self._drift = DECAY * self._drift + self._rng.normal(0, DRIFT, len(self._grippers))
        if self._left == 0 and self._rng.random() < CHANCE:
            self._shove, self._left = self._rng.normal(0, SHOVE, len(self._grippers)), int(self._rng.integers(*LASTING))
        self._left = max(self._left - 1, 0)
        offset = self._drift + (self._shove if self._left else 0.0)
        return np.where(self._grippers, 0.0, offset)
