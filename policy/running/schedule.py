"""What to do now: the points of the newest chunks on one clock, and nothing else.

    old chunk     o----o----o----o----o----o
    new chunk                    n----n----n----n----n
    scheduled     o----o----o----n----n----n----n----n     newest wins, late points are never looked at

A change of instruction keeps only the prefix that cannot be taken back:

    switch(id, keep_until)       |
    scheduled     o----o----o----|         then nothing until a chunk of the new instruction is there
"""

import numpy as np

from policy.spec import Chunk


class Schedule:
    """Stamped set-points of one instruction; it has no clock of its own."""

    def __init__(self) -> None:
        self._instruction: int | None = None
        self._newest: int | None = None  # ns, stamp of the newest chunk of this instruction
        self._times = np.empty(0, np.int64)  # (N,) ns, rising
        self._actions = np.empty((0, 0), np.float32)  # (N, A)

    def switch(self, instruction: int, keep_until: int) -> None:
        """Change the instruction: of what is scheduled only points up to `keep_until` ns stay."""
        self._instruction, self._newest = instruction, None
        kept = self._times <= keep_until
        self._times, self._actions = self._times[kept], self._actions[kept]

    def add(self, chunk: Chunk, now: int) -> bool:
        """Schedule a chunk; False, and no change, if nothing of it is still to come or it is outdated.

        Outdated: of another instruction, or of an older frame than the chunk before.
        """
        if chunk.instruction != self._instruction or (self._newest is not None and chunk.stamp < self._newest):
            return False
        times = chunk.stamp + chunk.dt * np.arange(1, len(chunk.actions) + 1, dtype=np.int64)
        coming = times > now
        if not coming.any():
            return False
        times, actions = times[coming], np.asarray(chunk.actions, np.float32)[coming]
        # a frame comes early or late by some ms: two points that close would be a leap
        old = self._times <= times[0] - chunk.dt // 2
        if old.any():
            times = np.concatenate([self._times[old], times])
            actions = np.concatenate([self._actions[old], actions])
        self._times, self._actions, self._newest = times, actions, chunk.stamp
        return True

    def ahead(self, now: int) -> tuple[np.ndarray, np.ndarray]:
        """All that is still to come: times (N,) ns, on the same clock, and set-points (N, A)."""
        later = int(np.searchsorted(self._times, now, "right"))
        # Clocks only go forward: points before the last one that has passed are never asked for again.
        self._times, self._actions = self._times[max(0, later - 1) :], self._actions[max(0, later - 1) :]
        later = min(later, 1)
        return self._times[later:], self._actions[later:]

    def rest(self, at: int, until: int) -> None:
        """Schedule only one set-point: what would be in force at `at` ns, to be reached by `until` ns."""
        if len(self._times) == 0 or at > self._times[-1]:
            return self.clear()
        after = int(np.searchsorted(self._times, at))
        action = self._actions[after]
        if after:
            left, right = self._times[after - 1], self._times[after]
            share = np.float32((right - at) / (right - left))
            action = action + share * (self._actions[after - 1] - action)
        self._times, self._actions, self._newest = np.array([until], np.int64), action[None].copy(), None
        return None

    def clear(self) -> None:
        """Forget all points; the instruction stays."""
        self._times, self._actions = self._times[:0], self._actions[:0]
        self._newest = None
