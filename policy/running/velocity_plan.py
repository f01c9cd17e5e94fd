"""Set-points that are velocities, of joints or of a hand: within limits, and zero where nothing is asked for.

    chunk        o----o----o----o              one velocity a step, each in force at its time
    published  .................00000000       at(now), every 10 ms; after the last point and on hold it is zero
    limit      no faster towards a position limit than would take `REACT` to get there from the measured position

A velocity says nothing of where the arm is. So the position limits are held against the newest measured position:
what is measured and obeyed within a third of `REACT` approaches a limit and does not pass it.
"""

import numpy as np

from policy.robot.commands import Controller
from policy.robot.contract import Contract
from policy.running.plan import Plan

REACT = 0.3  # s
FORGET = 2.0  # s: how long a difference between what was asked for and what was done counts
PARTS = slice(0, 3), slice(3, 6)  # of a twist: linear [m/s], angular [rad/s]


class VelocityPlanner:
    """The velocities of one controller: of J joints, each with its own limit, or a twist with one for each part."""

    def __init__(self, contract: Contract, controller: Controller) -> None:
        command, columns = controller.command, controller.columns
        self._columns, self._measured = columns, controller.measured
        self._names = [contract.spec.action[column] for column in columns]
        self._parts = list(PARTS) if command.kind == "twist" else [slice(i, i + 1) for i in range(len(columns))]
        self._velocity = np.array(command.velocity_max, float)  # of each part
        self._low, self._high = np.array(command.position_min, float), np.array(command.position_max, float)  # (M,)
        self._times, self._points = np.empty(0, np.int64), np.empty((0, len(columns)))
        self._state: np.ndarray | None = None  # (S,) newest measured, None where it is not known
        self._looked: tuple[int, np.ndarray] | None = None  # ns, measured positions (M,) then
        self.astray = np.zeros(len(self._low))  # (M,) how much further it has moved than was asked for, of late
        self.known = False  # whether following has begun

    def begin(self, now: int, state: np.ndarray) -> None:
        """Following begins: at rest, and with the measured state (S,)."""
        self._state, self.known = state, True
        self._looked, self.astray = (now, state[self._measured]), np.zeros(len(self._low))
        self._rest()

    def forget(self) -> None:
        """Where the arm is is not known any more: it stays at rest until following begins again."""
        self._rest()

    def at(self, now: int) -> tuple[np.ndarray, np.ndarray]:
        """The set-point (J,) at a time [ns], as the newest measured position allows it; its change is not known."""
        still = np.zeros(len(self._columns))
        if self._state is None or not len(self._times) or now > self._times[-1]:
            return still, still
        return self._guarded(self._interpolated(now)), still

    def follow(
        self, times: np.ndarray, actions: np.ndarray, now: int, shares: np.ndarray
    ) -> tuple[Plan | None, set[str]]:
        """Take velocities (N, A) at times (N,) ns, with `shares` (N,) of the velocity limits; the limits they met."""
        start = self.at(now)[0]
        points, met = actions[:, self._columns].astype(float), set[str]()
        for limit, part in zip(self._velocity, self._parts, strict=True):
            length, most = np.linalg.norm(points[:, part], axis=1), limit * shares
            if (length > most + 1e-9).any():
                points[:, part] *= np.minimum(1, most / np.maximum(length, 1e-9))[:, None]
                met.add(f"velocity limit of {'/'.join(self._names[part])}")
        self._times, self._points = np.concatenate([[now], times]), np.vstack([start, points])
        guarded = self._guarded(points)
        changed = (np.abs(guarded - points) > 1e-6).any(0)
        return None, met | {f"position limit of {self._names[i]}" for i in np.flatnonzero(changed)}

    def brake(self, now: int) -> None:
        """The velocity is zero from now on."""
        self._rest()

    def watch(self, now: int, state: np.ndarray | None) -> None:
        """Take the measured state (S,); without one the velocity is zero."""
        asked, self._state = self.at(now)[0][: len(self._low)], state
        if state is None:
            self._looked = None
            return
        position = state[self._measured]
        if self._looked is not None and now > self._looked[0]:
            seconds = (now - self._looked[0]) * 1e-9
            self.astray = (self.astray + position - self._looked[1] - asked * seconds) * np.exp(-seconds / FORGET)
        self._looked = now, position

    # -- within

    def _rest(self) -> None:
        self._times, self._points = self._times[:0], self._points[:0]

    def _interpolated(self, now: int) -> np.ndarray:
        after = min(max(1, int(np.searchsorted(self._times, now))), len(self._times) - 1)
        begin, end = self._times[after - 1], self._times[after]
        s = float(np.clip((now - begin) / (end - begin), 0, 1))
        point: np.ndarray = self._points[after - 1] + s * (self._points[after] - self._points[after - 1])
        return point

    def _guarded(self, velocity: np.ndarray) -> np.ndarray:
        """Velocities (..., J) that lead no further than to the position limits."""
        if self._state is None:
            return np.zeros_like(velocity)
        position, m = self._state[self._measured], len(self._low)
        guarded = velocity.copy()
        guarded[..., :m] = np.clip(
            velocity[..., :m],
            np.minimum(0, (self._low - position) / REACT),
            np.maximum(0, (self._high - position) / REACT),
        )
        return guarded
