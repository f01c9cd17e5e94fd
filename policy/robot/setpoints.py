"""The set-point in force at any time, from a stream of commands: held, or as a controller interpolates it.

    JointState, Float64MultiArray    each value is held until the next          __|~~|____|~~~
    JointTrajectory                  joint_trajectory_controller's curve        ./''\\___/'''

A new trajectory begins where the old one is when it arrives (`Trajectory::sample` of ros2_controllers): cubic
between points with velocities, linear between points without, and the last point is held.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

HELD, LINEAR, CUBIC = range(3)  # how the set-point gets from one knot to the next


class SetPoints(NamedTuple):
    """A set-point over time as K knots of n joints; two knots of one time are a jump."""

    times: np.ndarray  # int64 (K,) ns, not falling
    positions: np.ndarray  # float64 (K, n)
    velocities: np.ndarray  # float64 (K, n) per second
    kinds: np.ndarray  # uint8 (K,): how the set-point came here from the knot before

    def at(self, times: np.ndarray) -> np.ndarray:
        """The set-points (..., n) in force at times (...) ns; NaN before the first knot."""
        times = np.asarray(times, np.int64)
        if not len(self.times):
            return np.full((*times.shape, self.positions.shape[1]), np.nan)
        after = np.searchsorted(self.times, times, side="right")
        i, j = np.maximum(after - 1, 0), np.minimum(after, len(self.times) - 1)
        span = ((self.times[j] - self.times[i]) * 1e-9)[..., None]
        with np.errstate(divide="ignore", invalid="ignore"):
            s = np.where(span > 0, (times - self.times[i])[..., None] * 1e-9 / span, 0.0)
        p, q = self.positions[i], self.positions[j]
        a, b = self.velocities[i] * span, self.velocities[j] * span
        kind = np.where(i == j, HELD, self.kinds[j])[..., None]
        cubic = p + s * a + s * s * (3 * (q - p) - 2 * a - b) + s**3 * (2 * (p - q) + a + b)
        value = np.where(kind == CUBIC, cubic, np.where(kind == LINEAR, p + s * (q - p), p))
        return np.where((after == 0)[..., None], np.nan, value)


class CommandHistory:
    """Collects the commands of one group of joints, in the order of their arrival."""

    def __init__(self, joints: int) -> None:
        self._joints = joints
        self._knots: list[tuple[int, np.ndarray, np.ndarray, int]] = []  # time, position, velocity, kind
        self._times: list[int] = []
        self._frozen: SetPoints | None = None

    def __bool__(self) -> bool:
        return bool(self._times)

    def known(self, at: int) -> bool:
        """Whether there is a set-point at a time [ns]."""
        return bool(self._times) and self._times[0] <= at

    def value(self, at: int) -> np.ndarray | None:
        """The set-point (n,) at a time [ns], None before the first command."""
        after = bisect_right(self._times, at)
        return self._part(after - 1, after + 1).at(np.array(at)) if after else None

    def forget(self, before: int) -> None:
        """Drop what was over at a time [ns]."""
        if gone := max(0, bisect_right(self._times, before) - 1):
            del self._knots[:gone], self._times[:gone]
            self._frozen = None

    def clear(self) -> None:
        """Forget all commands."""
        self._truncate(0)

    def hold(self, at: int, position: np.ndarray) -> None:
        """From `at` [ns] on the set-point is `position` (n,)."""
        self._cut(at)
        self._add(at, position, np.zeros(self._joints), HELD)

    def follow(
        self,
        now: int,
        times: np.ndarray,
        positions: np.ndarray,
        velocities: np.ndarray | None,
        start: np.ndarray | None,
    ) -> None:
        """A trajectory that arrives at `now`: points (N, n) at times (N,) ns, with velocities (N, n) or without.

        `start` (n,) is where the joints stand, None where that is unknown: the first trajectory begins there.
        """
        kind = LINEAR if velocities is None else CUBIC
        speeds = np.zeros_like(positions) if velocities is None else velocities
        self._cut(now)
        past = int(np.searchsorted(times, now, side="right"))
        if past:  # it is on the new curve at once
            self._add(now, *_sample(SetPoints(times, positions, speeds, np.full(len(times), kind)), now), HELD)
        elif not self and start is not None:
            self._add(now + 1, start, np.zeros(self._joints), HELD)
        elif self and self._times[-1] < now:  # it was held at the end of the last one
            self._add(now, self._knots[-1][1], np.zeros(self._joints), HELD)
        for time, position, speed in zip(times[past:], positions[past:], speeds[past:], strict=True):
            self._add(int(time), position, speed, kind)

    def frozen(self) -> SetPoints:
        """All that was commanded."""
        if self._frozen is None:
            self._frozen = self._part(0, len(self._knots))
        return self._frozen

    def _part(self, first: int, end: int) -> SetPoints:
        knots = self._knots[first:end]
        positions, velocities = (np.array([k[i] for k in knots], np.float64).reshape(-1, self._joints) for i in (1, 2))
        kinds = np.array([k[3] for k in knots], np.uint8)
        return SetPoints(np.array(self._times[first:end], np.int64), positions, velocities, kinds)

    def _cut(self, at: int) -> None:
        """Forget what was to come after `at`; up to there the curve stays what it was."""
        keep = bisect_right(self._times, at)
        if keep in (0, len(self._times)) or self._times[keep - 1] == at:
            self._truncate(keep)
            return
        kind, (position, velocity) = self._knots[keep][3], _sample(self._part(keep - 1, keep + 1), at)
        self._truncate(keep)
        self._add(at, position, velocity, kind)

    def _truncate(self, keep: int) -> None:
        del self._knots[keep:], self._times[keep:]
        self._frozen = None

    def _add(self, at: int, position: np.ndarray, velocity: np.ndarray, kind: int) -> None:
        self._knots.append((at, position, velocity, kind))
        self._times.append(at)
        self._frozen = None


def _sample(points: SetPoints, at: int) -> tuple[np.ndarray, np.ndarray]:
    """Position and velocity (n,) at a time [ns] that is not before the first knot."""
    i = int(np.searchsorted(points.times, at, side="right")) - 1
    position, rest = points.at(np.array([at]))[0], np.zeros_like(points.positions[i])
    if i + 1 == len(points.times) or points.kinds[i + 1] == HELD:
        return position, rest
    span = (points.times[i + 1] - points.times[i]) * 1e-9
    s, p, q = (at - points.times[i]) * 1e-9 / span, points.positions[i], points.positions[i + 1]
    if points.kinds[i + 1] == LINEAR:
        return position, (q - p) / span
    a, b = points.velocities[i] * span, points.velocities[i + 1] * span
    return position, (a + 2 * s * (3 * (q - p) - 2 * a - b) + 3 * s * s * (2 * (p - q) + a + b)) / span


def join(parts: Sequence[SetPoints], times: np.ndarray) -> np.ndarray:
    """The actions (..., A) float32 in force at times (...) ns, of all groups of joints; NaN before a first command."""
    return np.concatenate([part.at(times) for part in parts], axis=-1).astype(np.float32)
