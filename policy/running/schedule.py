"""What to do now: the points of the newest chunks on one clock, and nothing else.

Three strategies (`STRATEGIES`) differ in how a new chunk joins what is scheduled:

    replace     the new one's points, from the first that is still to come
    ensemble    at each of these the weighted mean of all chunks of this instruction (ACT, Zhao et al. 2023)
    rtc         the new one's points after those that were committed while it was inferred (real-time chunking)

    old chunk     o----o----o----o----o----o
    new chunk                    n----n----n----n----n
    scheduled     o----o----o----n----n----n----n----n     newest wins, late points are never looked at

A change of instruction keeps only the prefix that cannot be taken back:

    switch(id, keep_until)       |
    scheduled     o----o----o----|         then nothing until a chunk of the new instruction is there
"""

import numpy as np

from policy.errors import InputError, unknown
from policy.spec import Chunk, Spec


class Schedule:
    """Stamped set-points of one instruction; it has no clock of its own. New chunks replace old ones."""

    def __init__(self) -> None:
        self._instruction: int | None = None
        self._newest: int | None = None  # ns, stamp of the newest chunk of this instruction
        self._times = np.empty(0, np.int64)  # (N,) ns, rising
        self._actions = np.empty((0, 0), np.float32)  # (N, A)
        self.joined = 0  # ns, the time of the first point that the newest chunk gave

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
        self._take(chunk.dt, times[coming], np.asarray(chunk.actions, np.float32)[coming])
        self._newest = chunk.stamp
        return True

    def committed(self, stamp: int, steps: int, dt: int) -> np.ndarray:
        """The set-points (n, A), n <= `steps`, at (i + 1) * `dt` after a frame's stamp that no chunk changes any more.

        Those that a policy may be asked to continue; none with a strategy that commits nothing.
        """
        return np.empty((0, 0), np.float32)

    def _take(self, dt: int, times: np.ndarray, actions: np.ndarray) -> None:
        """Schedule points after what is scheduled before them."""
        self.joined = int(times[0])
        # a frame comes early or late by some ms: two points that close would be a leap
        old = self._times <= times[0] - dt // 2
        if old.any():
            times = np.concatenate([self._times[old], times])
            actions = np.concatenate([self._actions[old], actions])
        self._times, self._actions = times, actions

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

    def finish(self) -> None:
        """The instruction is done: what was planned for it says nothing of the rest that follows."""

    def clear(self) -> None:
        """Forget all points; the instruction stays."""
        self._times, self._actions = self._times[:0], self._actions[:0]
        self._newest = None


class Ensemble(Schedule):
    """Each set-point is the mean of all chunks that hold it, the oldest with the greatest weight (Zhao et al. 2023)."""

    DECAY = 0.01  # weight exp(-DECAY * i), i = 0 the oldest

    def __init__(self) -> None:
        super().__init__()
        self._chunks: list[tuple[np.ndarray, np.ndarray]] = []  # times and actions, the oldest first

    def switch(self, instruction: int, keep_until: int) -> None:
        """As `Schedule.switch`; the chunks of the former instruction are in no mean any more."""
        super().switch(instruction, keep_until)
        self._chunks = []

    def finish(self) -> None:
        """As `Schedule.finish`."""
        self._chunks = []

    def clear(self) -> None:
        """Forget all points; the instruction stays."""
        super().clear()
        self._chunks = []

    def rest(self, at: int, until: int) -> None:
        """As `Schedule.rest`."""
        super().rest(at, until)
        self._chunks = []

    def _take(self, dt: int, times: np.ndarray, actions: np.ndarray) -> None:
        self._chunks = [(t, a) for t, a in self._chunks if t[-1] >= times[0]] + [(times, actions)]
        total, weights = np.zeros(actions.shape), np.zeros((len(times), 1))
        for i, (own_times, own) in enumerate(self._chunks):
            inside = (times >= own_times[0]) & (times <= own_times[-1])
            weight = np.exp(-self.DECAY * i) * inside[:, None]
            total += weight * _interpolated(times, own_times, own)
            weights += weight
        super()._take(dt, times, (total / weights).astype(np.float32))


class RealTimeChunking(Schedule):
    """A chunk continues what was committed while it was inferred; one that comes later than that is not taken."""

    def add(self, chunk: Chunk, now: int) -> bool:
        """As `Schedule.add`; False also where the chunk comes later than its committed steps."""
        end = chunk.stamp + (chunk.committed + 1) * chunk.dt
        if chunk.committed and now >= end:
            return False
        return super().add(chunk, end - 1 if chunk.committed else now)

    def committed(self, stamp: int, steps: int, dt: int) -> np.ndarray:
        """What is scheduled at these times."""
        if not len(self._times):
            return super().committed(stamp, steps, dt)
        times = stamp + dt * np.arange(1, steps + 1, dtype=np.int64)
        return _interpolated(times[times <= self._times[-1]], self._times, self._actions).astype(np.float32)


STRATEGIES: dict[str, type[Schedule]] = {"replace": Schedule, "ensemble": Ensemble, "rtc": RealTimeChunking}


def choose(name: str | None, spec: Spec) -> str:
    """The strategy for a policy, by default "rtc" where it reads what is committed, else "replace".

    `InputError` for an unknown one and for one that the policy cannot serve.
    """
    reads = "committed" in spec.reads
    name = name or ("rtc" if reads else "replace")
    if name not in STRATEGIES:
        raise unknown("schedule", name, STRATEGIES)
    if name == "rtc" and not reads:
        raise InputError(
            "schedule rtc: this policy does not read what is committed; take replace or ensemble, or train a recipe "
            "with the encoder committed"
        )
    return name


def _interpolated(at: np.ndarray, times: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Actions (N, A) of times (N,) ns at other times (M,): (M, A), the first and the last beyond them."""
    after = np.clip(np.searchsorted(times, at), 1, max(1, len(times) - 1))
    before, after = after - 1, np.minimum(after, len(times) - 1)
    share = np.clip((at - times[before]) / np.maximum(times[after] - times[before], 1), 0, 1)[:, None]
    between: np.ndarray = actions[before] + share * (actions[after] - actions[before])
    return between
