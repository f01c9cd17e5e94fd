"""How many set-points are committed while an inference runs, from how long the last ones took.

frame's stamp        chunk is there
     |-- committed ------|-- +1 --|-- what the chunk changes ---
"""

import logging
from collections import deque

LOG = logging.getLogger("midstream.loop")
DELAYS = 20  # of the newest chunks, of which the largest counts
LATE_CHUNKS = 3  # in a row that came later than their committed set-points: none are committed any more


class Commitment:
    """Counts in steps of `dt` ns; at most half of a chunk of `horizon` steps is committed."""

    def __init__(self, dt: int, horizon: int) -> None:
        self._dt, self._most = dt, horizon // 2
        self._delays: deque[int] = deque(maxlen=DELAYS)  # ns, from a frame's stamp to its chunk
        self._late = 0  # chunks in a row that came later than what was committed

    @property
    def given_up(self) -> bool:
        """Chunks come later than can be committed: new ones replace what is scheduled."""
        return self._late >= LATE_CHUNKS

    def steps(self, switching: bool) -> int:
        """How many set-points to commit; with an instruction on its way no more than what passes until it is served."""
        steps = -(-max(self._delays, default=0) // self._dt)
        if self.given_up:
            if steps >= self._most:
                return 0
            self._late = 0  # they come in time again
        return min(steps + (not switching), self._most) if self._delays else 0

    def measured(self, delay: int, committed: int, in_time: bool) -> None:
        """A chunk came `delay` ns after its frame's stamp; `in_time`: before its committed set-points were over."""
        self._delays.append(delay)
        if not committed:
            return
        self._late = 0 if in_time else self._late + 1
        if self._late == LATE_CHUNKS:
            LOG.warning(
                "%d chunks in a row came later than the %d set-points that were committed: new chunks replace old ones",
                self._late,
                committed,
            )
