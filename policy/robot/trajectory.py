"""Points in time and the curve through them, as a joint_trajectory_controller interpolates it.

from where it was   o~~~~o~~~~o~~~~o____  the last point is held
                   now
"""

from dataclasses import dataclass

import numpy as np


def velocities(slopes: np.ndarray) -> np.ndarray:
    """Velocities (N, J) per second at points, `slopes` (N, J) being those of the lines that lead to them.

    The harmonic mean of the slopes on both sides (Fritsch and Butland 1984), zero where they differ in sign:
    the cubic curve then never leaves the range between two neighbouring points, so a position limit that the
    points keep is kept in between. The last velocity is zero, as a controller demands. In between two points
    a curve that starts or ends at rest is up to 1.5 times as fast as the straight line.
    """
    left, right, means = slopes[:-1], slopes[1:], np.zeros(slopes.shape)
    product = left * right
    np.divide(2 * product, left + right, out=means[:-1], where=product > 0)
    return means


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
        """Position and velocity (J,) at a time [ns]: `sample` of one time, several times as fast."""
        i = int(np.searchsorted(self.times, now))
        if i == 0 or i == len(self.times) or (i == len(self.times) - 1 and now == self.times[-1]):
            end = self.positions[min(i, len(self.times) - 1)]
            return end.copy(), np.zeros_like(end)
        ends = self.positions[i - 1 : i + 1]
        span = float(self.times[i] - self.times[i - 1]) * 1e-9
        s = float(now - self.times[i - 1]) * 1e-9 / span
        if self.velocities is None:
            return (1 - s) * ends[0] + s * ends[1], (ends[1] - ends[0]) / span
        # cubic Hermite as two products: rows are position and velocity, columns the two ends
        rise, slope = s * s * (3 - 2 * s), 6 * s * (1 - s) / span
        of_ends = np.array([[1 - rise, rise], [-slope, slope]])
        of_speeds = np.array(
            [[s * (1 - s) ** 2 * span, s * s * (s - 1) * span], [(1 - s) * (1 - 3 * s), s * (3 * s - 2)]]
        )
        position, velocity = of_ends @ ends + of_speeds @ self.velocities[i - 1 : i + 1]
        return position, velocity

    def sample(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions and velocities (M, J) at times (M,) ns."""
        at = np.clip(at, self.times[0], self.times[-1])
        if len(self.times) == 1:
            return np.repeat(self.positions, len(at), 0), np.zeros((len(at), self.positions.shape[1]))
        i = np.clip(np.searchsorted(self.times, at), 1, len(self.times) - 1)
        p, q = self.positions[i - 1], self.positions[i]
        span = ((self.times[i] - self.times[i - 1]) * 1e-9)[:, None]
        s = (at - self.times[i - 1])[:, None] * 1e-9 / span
        if self.velocities is None:
            position, velocity = p + s * (q - p), (q - p) / span
        else:
            a, b = self.velocities[i - 1] * span, self.velocities[i] * span
            second, third = 3 * (q - p) - 2 * a - b, 2 * (p - q) + a + b  # cubic Hermite, in powers of s
            position = p + s * (a + s * (second + s * third))
            velocity = (a + s * (2 * second + 3 * s * third)) / span
        resting = ((at <= self.times[0]) | (at >= self.times[-1]))[:, None]
        return position, np.where(resting, 0.0, velocity)

    def replaced(self, now: int, times: np.ndarray, positions: np.ndarray, speeds: np.ndarray | None) -> "Curve":
        """What a controller follows after it receives points (N, J) at times (N,) ns at `now`.

        It goes from where it is to the first point. Where that one has passed it is on the received curve at
        once, as ros2_controllers does (`Trajectory::sample`): it never goes back to a point of the past.
        """
        if times[0] <= now:
            return Curve(times, positions.astype(float), speeds)
        position, velocity = self.at(now)
        return Curve(
            np.concatenate([[now], times]),
            np.concatenate([position[None], positions]),
            None if speeds is None else np.concatenate([velocity[None], speeds]),
        )


def bounds(
    p: np.ndarray, v: np.ndarray, q: np.ndarray, w: np.ndarray, span: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `extremes`, but only bounds of them, by the Bezier points of the cubics and of their derivatives: cheap."""
    a, b = v * span, w * span
    near, far, middle = p + a / 3, q - b / 3, 3 * (q - p) - a - b
    low, high = np.minimum(np.minimum(p, q), np.minimum(near, far)), np.maximum(np.maximum(p, q), np.maximum(near, far))
    return low, high, np.maximum(np.maximum(np.abs(a), np.abs(b)), np.abs(middle)) / span


def extremes(
    p: np.ndarray, v: np.ndarray, q: np.ndarray, w: np.ndarray, span: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lowest and highest position and highest speed of the cubics from (p, v) to (q, w) in `span` s; any shape."""
    a, b = v * span, w * span
    second, third = 3 * (q - p) - 2 * a - b, 2 * (p - q) + a + b
    low, high = np.minimum(p, q), np.maximum(p, q)
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(np.maximum(second * second - 3 * third * a, 0.0))
        # turning points of the position, where a + 2 second s + 3 third s^2 = 0; each form fails where it divides by 0
        turns = [
            (-second + root) / (3 * third),
            (-second - root) / (3 * third),
            -a / (second + root),
            -a / (second - root),
        ]
        fastest = -second / (3 * third)
    for s in turns:
        s = np.where((s > 0) & (s < 1), s, 0.0)
        there = p + s * a + s * s * second + s**3 * third
        low, high = np.minimum(low, there), np.maximum(high, there)
    s = np.where((fastest > 0) & (fastest < 1), fastest, 0.0)
    speed = np.abs(a + 2 * s * second + 3 * s * s * third)
    return low, high, np.maximum(np.maximum(speed, np.abs(a)), np.abs(b)) / span
