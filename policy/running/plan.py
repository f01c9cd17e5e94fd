"""What goes to a controller next, safe whenever it arrives.

    the plan before   o----o----o----o____          sent 50 ms ago; the controller follows it
    this plan              |  late |  o----o----o____
                          now

A message may be late by up to `LATE`, and two may overtake each other; a joint_trajectory_controller then goes from
wherever it is to the first point that is still to come. So a plan that departs from the one before has no point
within `LATE`, and from every state in which it may find the controller the way to its first point keeps the limits.
Where no such plan exists, the plan before goes on: each ends at rest by itself.

On the way to such a first point it is not certain where the controller is, as that depends on when the plan arrived.
A plan that begins at once, on the curve of the one before, is therefore sent only where that is the curve of all
arrivals, and always from the first point on.

A message may also be lost. Whoever sends plans sends the newest one again while `Plan.due_again`, every 10 ms: a copy
is the same curve, so it changes nothing where the first one arrived, and where that was lost it counts as late by the
time between the two. What is assumed of a connection is therefore: of a plan and its copies one arrives within
`LATE`. Where all are lost the controller stays on an older plan, and the next one that continues makes it leap.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from policy.robot.commands import Controller
from policy.robot.contract import Contract
from policy.robot.trajectory import Curve, bounds, extremes, velocities
from policy.running.followed import ARRIVALS, LATE, MS, ON_THE_WAY, SAME, Followed, Points

GAP = 8 * MS  # from there to the first point of a plan that departs
SAME_SPEED = 4e-3  # per second: over half of 50 ms as far as SAME
REFRESH = 150 * MS  # before the end of a plan the next one is sent: it may be late, and the last step brakes
# of the velocity limits at an instant on a way of this many s: averaged over 50 ms it is to be 1.05 at most
PEAK_SPANS, PEAKS = np.array([0.05, 0.075, 0.1]), np.array([1.35, 1.15, 1.05])
MEAN = 1.0  # of the velocity limits, averaged over two halves of the steps beside a point
DOUBT = 1.1  # of its velocity: one that was late before is not quite where it is taken to be


@dataclass(frozen=True, slots=True)
class Plan:
    """Points for one controller of J joints, in units of the policy."""

    controller: Controller
    stamp: int  # ns, when it was made
    times: np.ndarray  # (N,) ns, on the robot's clock
    points: np.ndarray  # (N, J)
    speeds: np.ndarray  # (N, J) per second, the last zero

    def due_again(self, now: int) -> bool:
        """Whether a copy is to be sent at a time [ns]: one that is sent later would not be in time."""
        return 0 < now - self.stamp <= ON_THE_WAY

    def in_robot_units(self) -> tuple[np.ndarray, np.ndarray]:
        """Points and speeds (N, J) as the controller takes them."""
        return self.points * self.controller.scale + self.controller.offset, self.speeds * self.controller.scale


class Planner:
    """Makes plans for one controller, within the limits of a contract, and remembers what it may be following."""

    def __init__(self, contract: Contract, controller: Controller) -> None:
        self._controller = controller
        self._names = [contract.spec.action[column] for column in controller.columns]
        self._low, self._high, self._velocity = (
            limit[controller.columns].astype(float)
            for limit in (contract.limits.low, contract.limits.high, contract.limits.velocity)
        )
        self._gripper = contract.grippers[controller.columns]
        self._followed = Followed()
        self._wanted: tuple[np.ndarray, np.ndarray] | None = None  # times and set-points that the newest plan follows

    def begin(self, now: int, state: np.ndarray) -> None:
        """Following begins at the measured state (S,), outside of the limits as well.

        A gripper goes on from its last set-point: measured is where the thing is that it holds.
        """
        position = state[self._controller.measured]
        if self.known:
            position = np.where(self._gripper, self.at(now)[0], position)
        self._followed.begin(now, position)

    def forget(self) -> None:
        """Where the controller is is not known any more."""
        self._followed.forget()
        self._wanted = None

    @property
    def known(self) -> bool:
        """Whether following has begun."""
        return self._followed.known

    def at(self, now: int) -> tuple[np.ndarray, np.ndarray]:
        """Set-point and its velocity (J,) at a time [ns], if nothing was late."""
        return self._followed.at(now)

    def follow(
        self, times: np.ndarray, actions: np.ndarray, now: int, shares: np.ndarray
    ) -> tuple[Plan | None, set[str]]:
        """The plan through set-points (N, A) at times (N,) ns, as far as limits allow, and the limits that it met.

        On the way to each point, `shares` (N,) of the velocity limits is used. None: the plan before goes on.
        """
        actions = actions[:, self._controller.columns]
        if self._follows(times, actions, now):
            return None, set()
        self._wanted = times, actions
        start, speed = self.at(now)
        points, met = self._bounded(times, actions, now, start, shares)
        speeds = self._speeds(times, points, now, start)
        if self._continues(times, points, speeds, now):
            # from where it is now, so that a controller whose clock is behind does not turn earlier
            times = np.concatenate([[now], times])
            points, speeds = np.concatenate([start[None], points]), np.concatenate([speed[None], speeds])
            return self._send(now, times, points, speeds), met
        safe = list(self._departures(times, actions, points, now, shares))
        if committed := self._committed(times, actions, now, shares):
            safe.append(committed)
        if not safe:
            self._wanted = None  # it is looked at again with the next command
            return None, met
        # the one that comes nearest to what is asked, each joint measured by its velocity limit; the plan before is one
        curves = [*(self._curve(plan, now) for plan in safe), self._followed.newest]
        away = [float((np.abs(curve.sample(times)[0] - points) / self._velocity).max(1).sum()) for curve in curves]
        nearest = int(np.argmin(away))
        if nearest == len(safe):
            self._wanted = None
            return None, met
        return self._send(now, *safe[nearest], departs=True), met

    def brake(self, now: int) -> Plan | None:
        """The plan that brings the arm to rest as soon as it can; None: the plan before does."""
        self._wanted = None
        position, velocity = self.at(now)
        for end in (120 * MS, 160 * MS, 200 * MS):
            low, high = np.minimum(self._low, position), np.maximum(self._high, position)
            point = np.clip(position + velocity * end * 0.5e-9, low, high)
            if plan := self._departure(np.array([now + end]), point[None], now):
                return self._send(now, *plan, departs=True)
        return None

    # -- one kind of plan each

    def _continues(self, times: np.ndarray, points: np.ndarray, speeds: np.ndarray, now: int) -> bool:
        """Whether a plan is the one before within `LATE`, from wherever the controller may be."""
        newest = self._followed.newest
        if now > self._followed.settled:  # all that may be followed is one
            first = int(np.searchsorted(newest.times, now, "right"))
            n = int(np.searchsorted(times, now + LATE, "right")) + 1
            if (
                newest.velocities is not None
                and np.array_equal(newest.times[first : first + n], times[:n])
                and (np.abs(newest.positions[first : first + n] - points[:n]) < SAME).all()
                and (np.abs(newest.velocities[first : first + n] - speeds[:n]) < SAME_SPEED).all()
            ):
                return True
        return self._followed.is_followed(newest.replaced(now, times, points, speeds), now, now)

    def _departures(
        self, times: np.ndarray, actions: np.ndarray, points: np.ndarray, now: int, shares: np.ndarray
    ) -> Iterator[Points]:
        """Plans that begin later than `LATE`: through the points, or a joint slower where it could not be there."""
        later = int(np.searchsorted(times, now + LATE + GAP))
        for first in range(later, min(later + 2, len(times))):
            if plan := self._departure(times[first:], points[first:], now):
                yield plan
                continue
            for reach in (0.95, 0.8, 0.6, 0.4):
                reached = self._reachable(times[first], points[first], now, reach)
                if reached is None:
                    continue
                rest, _ = self._bounded(
                    times[first + 1 :], actions[first + 1 :], times[first], reached, shares[first + 1 :]
                )
                if plan := self._departure(times[first:], np.vstack([reached, rest]), now):
                    yield plan
                    break

    def _departure(self, times: np.ndarray, points: np.ndarray, now: int) -> Points | None:
        """A plan that begins later than `LATE`, if the way to it is safe from wherever the controller may be."""
        speeds, states = self._speeds(times, points, now, self.at(now)[0]), self._followed.states(now)
        span, position, velocity = ((times[0] - states.at) * 1e-9)[:, None], states.positions, states.velocities
        judged, n = states.judged(now), len(span)
        if (np.abs(points[0] - position) > self._velocity * span)[judged].any():
            return None
        peak = np.maximum(np.interp(span, PEAK_SPANS, PEAKS) * self._velocity, np.abs(velocity))[judged]
        low, high = np.minimum(self._low, position) - 1e-6, np.maximum(self._high, position) + 1e-6
        # in one call: positions with the velocity in doubt, speeds without
        ends, both = np.concatenate([position, position]), np.concatenate([DOUBT * velocity, velocity])
        for of in (bounds, extremes):  # exactly only where bounds do not do
            lowest, highest, fastest = of(ends, both, points[0], speeds[0], np.concatenate([span, span]))
            if (lowest[:n] >= low).all() and (highest[:n] <= high).all() and (fastest[n:][judged] <= peak).all():
                return times, points, speeds
        return None

    def _committed(self, times: np.ndarray, actions: np.ndarray, now: int, shares: np.ndarray) -> Points | None:
        """The plan before until `LATE`, and only then the new points."""
        until, curve = now + LATE, self._followed.newest
        later = int(np.searchsorted(times, until + 40 * MS))
        if later == len(times) or not self._followed.is_followed(curve, now, now + int(ARRIVALS[0])):
            return None
        kept = np.concatenate([[now], curve.times[(curve.times > now + MS) & (curve.times < until - MS)], [until]])
        old, old_speeds = curve.sample(kept)
        points, _ = self._bounded(times[later:], actions[later:], until, old[-1], shares[later:])
        speeds = self._speeds(times[later:], points, until, old[-1])
        low, high, speed = extremes(
            old[-1], old_speeds[-1], points[0], speeds[0], np.array((times[later] - until) * 1e-9)
        )
        if (
            (low < self._low - 1e-6).any()
            or (high > self._high + 1e-6).any()
            or (speed > PEAKS[-1] * self._velocity).any()
        ):
            return None
        times = np.concatenate([kept, times[later:]])
        return times, np.vstack([old, points]), np.vstack([old_speeds, speeds])

    # -- within

    def _follows(self, times: np.ndarray, actions: np.ndarray, now: int) -> bool:
        """Whether the newest plan does already what is asked, and goes on for long enough."""
        if self._wanted is None or self._wanted[0][-1] - now <= REFRESH:
            return False
        asked, wanted = times <= self._wanted[0][-1], self._wanted[0] > now
        return np.array_equal(times[asked], self._wanted[0][wanted]) and np.array_equal(
            actions[asked], self._wanted[1][wanted]
        )

    def _bounded(
        self, times: np.ndarray, actions: np.ndarray, now: int, start: np.ndarray, shares: np.ndarray
    ) -> tuple[np.ndarray, set[str]]:
        """Points (N, J) within the limits of position and, from one to the next, of velocity; and what they met."""
        wanted = np.minimum(np.maximum(actions, self._low), self._high)
        reach = self._velocity * (_differences(times, now) * 1e-9 * shares)[:, None]
        clipped = wanted != actions
        if not clipped.any() and (np.abs(_differences(wanted, start)) <= reach).all():
            return wanted, set()
        met = set[str]()
        if clipped.any():
            beyond = (np.abs(wanted - actions) > 1e-6).any(0)
            met |= {f"position limit of {self._names[i]}" for i in np.flatnonzero(beyond)}
        points, last = np.empty(actions.shape), start
        for i in range(len(times)):
            points[i] = last = np.minimum(np.maximum(wanted[i], last - reach[i]), last + reach[i])
        slower = (np.abs(points - wanted) > 1e-6).any(0)
        met |= {f"velocity limit of {self._names[i]}" for i in np.flatnonzero(slower)}
        return points, met

    def _speeds(self, times: np.ndarray, points: np.ndarray, now: int, start: np.ndarray) -> np.ndarray:
        """Velocities (N, J) at points; near the limit so low that the middle of two steps keeps it, too.

        Where the arm starts or stops at full speed a cubic is 1.5 times as fast between two points as from one to
        the other. Half a step before a point and half a step after it the arm moves by
        (slope before + slope after) / 2 + v / 4 - (v before + v after) / 8, each times the step.
        """
        slopes = _differences(points, start) / (_differences(times, now) * 1e-9)[:, None]
        speeds = velocities(slopes)
        if (np.abs(slopes) < 0.8 * self._velocity).all():
            return speeds
        for _ in range(2):
            before = np.vstack([speeds[:1], speeds[:-2]])[: len(speeds) - 1]
            around = np.abs(before) + np.abs(speeds[1:])
            most = (MEAN * self._velocity - np.abs(slopes[:-1] + slopes[1:]) / 2) * 4 + around / 2
            speeds[:-1] = np.clip(speeds[:-1], -np.maximum(most, 0), np.maximum(most, 0))
        return speeds

    def _reachable(self, time: int, action: np.ndarray, now: int, share: float) -> np.ndarray | None:
        """The point nearest to a set-point (J,) that the controller reaches by `time` from wherever it may be."""
        states = self._followed.states(now)
        rows = states.judged(now)
        position = states.positions[rows]
        reach = share * self._velocity * ((time - states.at[rows]) * 1e-9)[:, None]
        low, high = np.maximum(self._low, (position - reach).max(0)), np.minimum(self._high, (position + reach).min(0))
        return np.clip(action, low, high) if (low <= high).all() else None

    def _curve(self, plan: Points, now: int) -> Curve:
        """What is followed if a plan is not late."""
        return self._followed.newest.replaced(now, *plan)

    def _send(self, now: int, times: np.ndarray, points: np.ndarray, speeds: np.ndarray, departs: bool = False) -> Plan:
        self._followed.add(now, (times, points, speeds), departs)
        return Plan(self._controller, now, times, points, speeds)


def _differences(values: np.ndarray, before: np.ndarray | int) -> np.ndarray:
    """From each value (N, ...) to the next, the first from `before`; N may be 0."""
    differences = values.copy()
    differences[:1] -= before
    differences[1:] -= values[:-1]
    return differences
