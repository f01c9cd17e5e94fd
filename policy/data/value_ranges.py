"""Ranges and speeds of named values, over any number of messages."""

from collections.abc import Collection
from itertools import compress

import numpy as np

BASE = 100_000_000  # ns over which a speed is taken: over less, jitter is most of it


class ValueRanges:
    """`names` are those of the first message that had any; another message may have some of them, or others."""

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.low = self.high = self.speed = self.newest = np.empty(0)
        self._before = np.empty(0)
        self._at = 0
        self._order: dict[tuple[str, ...], np.ndarray] = {}
        self._sets: dict[frozenset[str], None] = {}  # of names, no two of which share one

    def add(self, names: tuple[str, ...], values: np.ndarray, stamp: int) -> None:
        """The values (n,) of a message that came at `stamp` [ns]; what is not finite is passed over."""
        if len(names) != len(values):
            return
        self._join(names)
        if not (finite := np.isfinite(values)).all():
            names, values = tuple(compress(names, finite)), values[finite]
        if unknown := tuple(name for name in names if name not in self.names):
            self._widen(unknown)
        if (places := self._order.get(names)) is None:
            places = self._order[names] = np.array([self.names.index(name) for name in names])
        self.low[places] = np.fmin(self.low[places], values)
        self.high[places] = np.fmax(self.high[places], values)
        self.newest[places] = values
        if stamp < self._at:  # the clock was set back: no speed is taken across the jump
            self._before, self._at = self.newest.copy(), stamp
        if stamp - self._at >= BASE:
            with np.errstate(invalid="ignore"):
                speed = np.abs(self.newest - self._before) / ((stamp - self._at) * 1e-9)
            self.speed = np.fmax(self.speed, speed)
            self._before, self._at = self.newest.copy(), stamp

    @property
    def nameless(self) -> bool:
        """Whether the values have paths in their message, and no names."""
        return any("[" in name for name in self.names)

    @property
    def together(self) -> list[tuple[str, ...]]:
        """The names as sets of which no message has two: several where several nodes publish."""
        found = (tuple(name for name in self.names if name in one) for one in self._sets)
        return sorted(filter(None, found), key=lambda names: self.names.index(names[0]))

    def merge(self, other: "ValueRanges") -> None:
        """Take in the ranges of another recording."""
        for one in other._sets:
            self._join(one)
        if unknown := tuple(name for name in other.names if name not in self.names):
            self._widen(unknown)
        places = np.array([self.names.index(name) for name in other.names], int)
        self.low[places] = np.fmin(self.low[places], other.low)
        self.high[places] = np.fmax(self.high[places], other.high)
        self.speed[places] = np.fmax(self.speed[places], other.speed)

    def _join(self, names: Collection[str]) -> None:
        """These are in one message, and so are the sets that they are in."""
        new = frozenset(names)
        if new in self._sets or not new:
            return
        touched = [one for one in self._sets if one & new]
        for one in touched:
            del self._sets[one]
        self._sets[new.union(*touched)] = None

    def _widen(self, names: tuple[str, ...]) -> None:
        self.names += names
        more = np.full(len(names), np.nan)
        self.low, self.high, self.newest, self._before, self.speed = (
            np.concatenate([old, more]) for old in (self.low, self.high, self.newest, self._before, self.speed)
        )
        self._order.clear()
