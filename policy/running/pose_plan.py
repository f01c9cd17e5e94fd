"""Set-points of a hand: a path within its box and its speeds, of which the newest set-point is published all the time.

    chunk        o----o--------------o----o         position and rotation vector, one point a step
    path      now----o----o----o----o----o          each part no faster than its limit; the last point is kept
    published   ........................            at(now), every 10 ms

The path begins at the set-point in force, so whatever arrives when, two set-points are never further apart than the
limits allow. Where the arm is held the set-point brakes, then goes to where the hand is measured, and stays: a
compliant controller so does not go on pressing. A hand that is then moved by someone else takes the set-point along.
"""

import numpy as np

from policy.robot.commands import Controller
from policy.robot.contract import Contract
from policy.running.plan import Plan

MS = 1_000_000  # ns
BRAKE = 120 * MS  # from full speed to rest
BRAKE_KNOTS = np.array([0.25, 0.5, 0.75, 1.0])
RETURN = 0.2  # of the velocity limits, on the way to where the hand is measured
PARTS = slice(0, 3), slice(3, 6)  # position [m], rotation vector [rad]


class PosePlanner:
    """Makes the path of one hand, 6 values, within the limits of a contract."""

    def __init__(self, contract: Contract, controller: Controller) -> None:
        columns = controller.columns
        names = [contract.spec.action[column] for column in columns]
        self._columns, self._measured = columns, controller.measured
        self._names, self._parts = names, ["/".join(names[part]) for part in PARTS]
        self._low, self._high, self._tracking = (
            limit[columns].astype(float) for limit in (contract.limits.low, contract.limits.high, contract.tracking_max)
        )
        self._velocity = contract.limits.velocity[columns][[0, 3]].astype(float)  # m/s, rad/s
        self._times, self._points = np.empty(0, np.int64), np.empty((0, 6))  # the path; between points it is straight
        self._state: np.ndarray | None = None  # (S,) newest measured, None where it is not known
        self._braking: int | None = None  # ns, when the set-point is at rest; None while it follows
        self._kept: np.ndarray | None = None  # the measured pose that is kept

    @property
    def known(self) -> bool:
        """Whether following has begun."""
        return len(self._times) > 0

    def begin(self, now: int, state: np.ndarray) -> None:
        """Following begins at the measured pose, state (S,)."""
        self._state, self._braking, self._kept = state, None, None
        self._set(np.array([now]), state[self._measured][None])

    def forget(self) -> None:
        """Where the controller is is not known any more."""
        self._set(np.empty(0, np.int64), np.empty((0, 6)))
        self._braking = self._kept = None

    def at(self, now: int) -> tuple[np.ndarray, np.ndarray]:
        """The set-point (6,) at a time [ns], and its velocity."""
        after = int(np.searchsorted(self._times, now, "right"))
        if after in (0, len(self._times)):
            return self._points[max(0, after - 1)].copy(), np.zeros(6)
        begin, end = self._times[after - 1], self._times[after]
        step = self._points[after] - self._points[after - 1]
        return self._points[after - 1] + step * ((now - begin) / (end - begin)), step / ((end - begin) * 1e-9)

    def follow(
        self, times: np.ndarray, actions: np.ndarray, now: int, shares: np.ndarray
    ) -> tuple[Plan | None, set[str]]:
        """Go through set-points (N, A) at times (N,) ns as far as limits allow; the limits that they met."""
        asked = actions[:, self._columns].astype(float)
        wanted = np.clip(asked, self._low, self._high)
        met = {f"position limit of {self._names[i]}" for i in np.flatnonzero((np.abs(wanted - asked) > 1e-6).any(0))}
        start = self.at(now)[0]
        points, slowed = self._limited(start, wanted, np.diff(times, prepend=now) * 1e-9 * shares)
        self._braking = self._kept = None
        self._set(np.concatenate([[now], times]), np.vstack([start, points]))
        return None, met | {f"velocity limit of {part}" for part, slow in zip(self._parts, slowed, strict=True) if slow}

    def brake(self, now: int) -> None:
        """Bring the set-point to rest within its limits; then it is kept where the hand is measured."""
        position, velocity = self.at(now)
        s = BRAKE_KNOTS[:, None]
        way = position + velocity * (BRAKE * 1e-9) * (s - s * s / 2)
        inside = np.clip(way, np.minimum(self._low, position), np.maximum(self._high, position))
        self._set(now + np.append(0, (BRAKE * BRAKE_KNOTS).astype(np.int64)), np.vstack([position, inside]))
        self._braking, self._kept = now + BRAKE, None

    def watch(self, now: int, state: np.ndarray | None) -> None:
        """Look at the measured state (S,), None where it is not known: a hand that is held is kept there."""
        self._state = state
        if self._braking is None or now < self._braking or state is None:
            return
        pose = state[self._measured].astype(float)
        if self._kept is None or (np.abs(pose - self._kept) > self._tracking).any():
            inside = np.clip(pose, self._low, self._high)
            self._kept = inside if (np.abs(pose - inside) <= self._tracking).all() else pose
            start, way = self.at(now)[0], self._kept
            seconds = max(
                float(np.linalg.norm((way - start)[part])) / (RETURN * limit)
                for part, limit in zip(PARTS, self._velocity, strict=True)
            )
            self._set(now + np.array([0, round(seconds * 1e9) + 1]), np.vstack([start, way]))

    # -- within

    def _set(self, times: np.ndarray, points: np.ndarray) -> None:
        self._times, self._points = times, np.asarray(points, float)

    def _limited(
        self, start: np.ndarray, wanted: np.ndarray, seconds: np.ndarray
    ) -> tuple[np.ndarray, tuple[bool, bool]]:
        """Points (N, 6) no further apart than allowed, and which parts were slowed: straight lines stay in the box.

        The angle between two orientations is at most the distance of their rotation vectors.
        """
        points, last, slowed = np.empty_like(wanted), start, [False, False]
        for i, step in enumerate(seconds):
            move = wanted[i] - last
            for k, part in enumerate(PARTS):
                length, most = float(np.linalg.norm(move[part])), float(self._velocity[k] * step)
                if length > most:
                    move[part] *= most / length
                    slowed[k] = True
            points[i] = last = last + move
        return points, (slowed[0], slowed[1])
