"""What to do now: the points of the newest chunks on one clock, and nothing else.

    old chunk     o----o----o----o----o----o
    new chunk                    n----n----n----n----n
    scheduled     o----o----o----n----n----n----n----n     newest wins, late points are never looked at

A change of instruction keeps only the prefix that cannot be taken back:

    switch(id, keep_until)       |
    scheduled     o----o----o----|         then None until a chunk of the new instruction is there
"""

import numpy as np

from policy.spec import Chunk


class Schedule:
    """Stamped set-points of one instruction; it has no clock of its own."""

    def __init__(self) -> None:
        self._instruction: int | None = None
        self._keep_until: int | None = None  # ns; points up to here belong to the former instruction
        self._newest: int | None = None  # ns, stamp of the newest chunk of this instruction
        self._times = np.empty(0, np.int64)  # (N,) ns, rising
        self._actions = np.empty((0, 0), np.float32)  # (N, A)

    def switch(self, instruction: int, keep_until_ns: int) -> None:
        """Change the instruction: of what is scheduled only points up to `keep_until_ns` stay."""
        self._instruction, self._keep_until, self._newest = instruction, keep_until_ns, None
        kept = self._times <= keep_until_ns
        self._times, self._actions = self._times[kept], self._actions[kept]

    def add(self, chunk: Chunk) -> bool:
        """Schedule a chunk; False, and no change, if it is outdated (other instruction, older frame)."""
        if chunk.instruction != self._instruction:
            return False
        if self._newest is not None and chunk.stamp < self._newest:
            return False
        times = chunk.stamp + chunk.dt * np.arange(1, len(chunk.actions) + 1, dtype=np.int64)
        free = times > self._keep_until if self._keep_until is not None else np.ones(len(times), bool)
        if not free.any():
            return False
        times, actions = times[free], np.asarray(chunk.actions, np.float32)[free]
        # a frame comes early or late by some ms: two points that close would be a leap
        old = self._times <= times[0] - chunk.dt // 2
        if old.any():
            times = np.concatenate([self._times[old], times])
            actions = np.concatenate([self._actions[old], actions])
        self._times, self._actions, self._newest = times, actions, chunk.stamp
        return True

    def ahead(self, now_ns: int) -> tuple[np.ndarray, np.ndarray]:
        """All that is still to come: times (N,) ns, on the same clock, and set-points (N, A)."""
        later = self._times > now_ns
        return self._times[later], self._actions[later]

    def clear(self) -> None:
        """Forget all points; the instruction stays."""
        self._times, self._actions = self._times[:0], self._actions[:0]
        self._keep_until = self._newest = None

    def at(self, now_ns: int) -> np.ndarray | None:
        """The set-point (A,) for this clock, linear between two points; None where nothing is scheduled.

        Before the first point it is that point, past the last one None: holding is the guard's business.
        """
        if len(self._times) == 0 or now_ns > self._times[-1]:
            return None
        after = int(np.searchsorted(self._times, now_ns))
        if after == 0:
            return self._actions[0].copy()
        left, right = self._times[after - 1], self._times[after]
        rest = np.float32((right - now_ns) / (right - left))
        # Clocks only go forward: points before the left one are never asked for again.
        first, second = self._actions[after - 1], self._actions[after]
        self._times, self._actions = self._times[after - 1 :], self._actions[after - 1 :]
        return second + rest * (first - second)
