"""Points in time and the curve through them, as a joint_trajectory_controller draws it.

from where it was   o~~~~o~~~~o~~~~o____  the last point is held
                   now
"""

from dataclasses import dataclass

import numpy as np


def velocities(times: np.ndarray, positions: np.ndarray, now: int, start: np.ndarray) -> np.ndarray:
    """Velocities (N, J) per second for points (N, J) at times (N,) ns, coming from `start` (J,) at `now`.

    The harmonic mean of the slopes on both sides (Fritsch and Butland 1984), zero where they differ in sign:
    the cubic curve then never leaves the range between two neighbouring points, so a position limit that the
    points keep is kept in between. The last velocity is zero, as a controller demands. In between two points
    a curve that starts or ends at rest is up to 1.5 times as fast as the straight line.
    """
    spans = np.diff(times, prepend=now)[:, None] * 1e-9
    slopes = np.diff(positions, axis=0, prepend=start[None]) / spans
    left, right = slopes[:-1], slopes[1:]
    product = left * right
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = np.where(product > 0, 2 * product / (left + right), 0.0)
    return np.vstack([inner, np.zeros((1, positions.shape[1]))])


@dataclass(slots=True)
class Curve:
    """Cubic between points with velocities, linear between points without; the ends are held."""

    times: np.ndarray  # (N,) ns, rising
    positions: np.ndarray  # (N, J)
    velocities: np.ndarray | None  # (N, J) per second

    @classmethod
    def rest(cls, now: int, position: np.ndarray) -> "Curve":
        """Stand still at a position (J,)."""
        return cls(np.array([now]), position[None].astype(float), np.zeros((1, len(position))))

    def at(self, now: int) -> tuple[np.ndarray, np.ndarray]:
        """Position and velocity (J,) at a time [ns]."""
        i = int(np.searchsorted(self.times, now))
        if i == 0 or i == len(self.times):
            end = self.positions[min(i, len(self.times) - 1)].copy()
            return end, np.zeros_like(end)
        p, q = self.positions[i - 1], self.positions[i]
        span = (self.times[i] - self.times[i - 1]) * 1e-9
        s = (now - self.times[i - 1]) * 1e-9 / span
        if self.velocities is None:
            return p + s * (q - p), (q - p) / span
        a, b = self.velocities[i - 1] * span, self.velocities[i] * span
        # Hermite basis, and its derivative
        position = (
            (2 * s**3 - 3 * s**2 + 1) * p + (s**3 - 2 * s**2 + s) * a + (3 * s**2 - 2 * s**3) * q + (s**3 - s**2) * b
        )
        velocity = (6 * (s**2 - s) * (p - q) + (3 * s**2 - 4 * s + 1) * a + (3 * s**2 - 2 * s) * b) / span
        return position, velocity

    def replaced(self, now: int, times: np.ndarray, positions: np.ndarray, speeds: np.ndarray | None) -> "Curve":
        """The curve that forgets all to come and goes from where it is now through other points."""
        position, velocity = self.at(now)
        later = times > now
        if not later.any():
            return Curve.rest(now, positions[-1])
        return Curve(
            np.insert(times[later], 0, now),
            np.vstack([position, positions[later]]),
            None if speeds is None else np.vstack([velocity, speeds[later]]),
        )
