"""What a controller may be following, when each plan that it is sent may be late.

plan sent    |  may arrive  |
old curve  ~~~~~~~~~~~~~~~~~~                 followed until the plan arrives
              ~~~~~~~~~~~~~~~~~~~~~o----o     to its first point from wherever that was,
                                              certain from there on
"""

from dataclasses import dataclass

import numpy as np

from policy.robot.trajectory import Curve

MS = 1_000_000  # ns
ON_THE_WAY = 60 * MS  # how long a message may take
LATE = ON_THE_WAY + 20 * MS  # with clocks that are 20 ms apart
ARRIVALS = np.array([-20, -10, 0, 10, 20, 30, 45, 60, 80]) * MS  # at which a plan is examined: a clock may be behind
SAME = 1e-4  # rad, m: curves closer than this are one
KEPT = 8  # plans
Points = tuple[np.ndarray, np.ndarray, np.ndarray]  # times (N,) ns, positions (N, J), speeds (N, J)


@dataclass(frozen=True, slots=True)
class Sent:
    """A plan that was sent: what is followed from then on if it was in time, and if it was as late as may be."""

    at: int  # ns
    curve: Curve
    late: Curve | None = None  # None: the same


@dataclass(frozen=True, slots=True)
class States:
    """Where the controller may be when a plan arrives."""

    at: np.ndarray  # (M,) ns
    positions: np.ndarray  # (M, J)
    velocities: np.ndarray  # (M, J) per second
    in_order: np.ndarray  # (M,) whether also where no message overtakes another
    in_time: np.ndarray  # (M,) whether on a plan that was not late

    def judged(self, now: int) -> np.ndarray:
        """Those (M,) from which the velocity limits are kept, by a plan that is sent now."""
        return np.asarray(self.in_order & self.in_time & (self.at <= now + ON_THE_WAY))


class Followed:
    """The plans that one controller of J joints was sent, and where they may have brought it."""

    def __init__(self) -> None:
        self._sent: list[Sent] = []  # the newest last
        self.settled = -(2**62)  # ns, after it all that may be followed is one curve
        self._begins_until = -(2**62)  # ns, until when the controller may not be where it was measured to rest
        self._set_point: tuple[int, np.ndarray, np.ndarray] | None = None  # the newest answer of `at`
        self._states: tuple[int, States] | None = None  # the newest answer of `states`

    def begin(self, now: int, position: np.ndarray) -> None:
        """The controller is taken to rest at a measured position (J,): what it follows may be a little elsewhere."""
        self._sent = [Sent(-(2**62), Curve.rest(now, position))]
        self.settled, self._begins_until = now + LATE, 2**62
        self._set_point = self._states = None

    def forget(self) -> None:
        """Where the controller is is not known any more."""
        self._sent, self._set_point, self._states = [], None, None

    @property
    def known(self) -> bool:
        """Whether something is followed."""
        return bool(self._sent)

    @property
    def newest(self) -> Curve:
        """What is followed if nothing was late."""
        return self._sent[-1].curve

    def at(self, now: int) -> tuple[np.ndarray, np.ndarray]:
        """Set-point and its velocity (J,) at a time [ns], if nothing was late."""
        if self._set_point is None or self._set_point[0] != now:
            self._set_point = now, *self.newest.at(now)
        return self._set_point[1:]

    def add(self, now: int, plan: Points, departs: bool) -> None:
        """A plan is sent; `departs`: it is not the curve of the one before within `LATE`."""
        late = None
        if departs:
            if plan[0][0] > now + ON_THE_WAY:
                late = self.newest.replaced(now + ON_THE_WAY, *plan)
            self.settled = max(now + LATE, int(plan[0][0]))
        if len(self._sent) == 1:
            self._begins_until = self.settled
        self._sent = [*self._sent[1 - KEPT :], Sent(now, self.newest.replaced(now, *plan), late)]
        self._set_point = self._states = None

    def states(self, now: int) -> States:
        """In which the controller may be when a plan arrives that is sent now.

        A plan is over once the next one must have arrived; where messages may overtake each other, once one must have
        arrived that was sent more than `LATE` after it.
        """
        if self._states is not None and self._states[0] == now:
            return self._states[1]
        found = []  # times, curve, whether in order, whether in time
        for i, one in enumerate(self._sent):
            after = [later.at for later in self._sent[i + 1 :]]
            over = after[0] + LATE if after else now + LATE
            overtaken = next((at + LATE for at in after if at > one.at + LATE), now + LATE)
            if overtaken <= now:
                continue
            at = now + ARRIVALS[now + ARRIVALS <= overtaken]
            in_order = at <= (over if over > now else now - LATE)
            found.append((at, one.curve, in_order, True))
            if one.late is not None:
                among = (at >= one.late.times[0]) & (at < one.late.times[1])
                if among.any():
                    found.append((at[among], one.late, in_order[among], False))
        samples = [curve.sample(at) for at, curve, _, _ in found]
        states = States(
            np.concatenate([at for at, *_ in found]),
            np.concatenate([position for position, _ in samples]),
            np.concatenate([velocity for _, velocity in samples]),
            np.concatenate([in_order for *_, in_order, _ in found]),
            np.concatenate([np.full(len(at), in_time) for at, *_, in_time in found]),
        )
        self._states = now, states
        return states

    def is_followed(self, curve: Curve, now: int, since: int) -> bool:
        """Whether the controller follows this curve, whatever was late, at all arrivals from `since` on."""
        if now <= self._begins_until:
            return False
        states = self.states(now)
        rows = states.in_order & (states.at >= since)
        return bool((np.abs(curve.sample(states.at[rows])[0] - states.positions[rows]) <= SAME).all())
