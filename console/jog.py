"""The set-point of a person who moves one joint at a time, for as long as a key is held."""

import math

import numpy as np

from policy.errors import InputError, unknown
from policy.robot.contract import Contract

SPEED = 0.25  # of the velocity limit, at a share of 1
HELD = 0.3  # s that a movement lasts after the last message: a lost connection ends it


class Jog:
    """A target (A,) in the units of the contract, within its limits."""

    def __init__(self, contract: Contract, setpoint: np.ndarray) -> None:
        spec, self._limits = contract.spec, contract.limits
        self._names = list(spec.action)
        self._speeds = np.isin(spec.action, spec.velocities)  # actions that are speeds: at rest they are 0
        self._joint, self._share, self._until = 0, 0.0, -math.inf
        self.begin(setpoint)

    def begin(self, setpoint: np.ndarray) -> None:
        """Begin again where the arm is."""
        self._until = -math.inf
        held = np.where(self._speeds, 0.0, setpoint)
        self.target = np.clip(held, self._limits.low, self._limits.high).astype(float)

    def move(self, joint: str, share: float, now: float) -> None:
        """Move a joint at a share, -1 to 1, of the speed there is, from `now` [s] on for `HELD`; 0 ends it."""
        if joint not in self._names:
            raise unknown("joint", joint, self._names)
        if not -1 <= share <= 1:
            raise InputError(f"got a share of {share:g} of the speed, expected -1 to 1")
        self._joint, self._share, self._until = self._names.index(joint), share, now + HELD

    def advance(self, now: float, seconds: float) -> np.ndarray:
        """The target at `now`, `seconds` after the one before."""
        self.target[self._speeds] = 0.0
        if now < self._until:
            i = self._joint
            if self._speeds[i]:
                self.target[i] = self._share * SPEED * self._limits.high[i]
            else:
                self.target[i] += self._share * SPEED * self._limits.velocity[i] * seconds
                self.target = np.clip(self.target, self._limits.low, self._limits.high)
        return self.target
