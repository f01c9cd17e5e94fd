"""What stands between a policy and a controller on a robot: limits, watchdogs, hold and stop, on two clocks.

    trajectory of the policy -> bound, point by point -> its first `lookahead` seconds -> controller
                                                |
    silent commands, silent joints, two publishers, NaN, stop, e-stop -> brake and hold

ROS time (`now`, which a simulation may stop or set back) says where on the trajectory the controller is; a
steady clock (`steady`) says who is silent. Only the beginning of a trajectory goes on, so that the arm comes
to rest by itself if this process dies.
"""

from collections import Counter

import numpy as np

from policy.robot.contract import Contract
from policy.robot.trajectory import Curve, velocities
from policy.running.safety import bound

BRAKE = 100_000_000  # ns from full motion to rest
CONTESTED = 10**9  # ns without a second publisher until commands are trusted again
FIRST_SPEED = 0.2  # of the velocity limits, where following begins; whole after `ramp`

# times (N,) ns from now, set-points (N, A), the set-point in force now (A,)
Plan = tuple[np.ndarray, np.ndarray, np.ndarray]


class Supervisor:
    """Trajectories in, what may go to the controller out; `reason` says why the arm is held, "" if it is not.

    `command_timeout`, `state_timeout`: s of silence until hold. `lookahead`: s of a trajectory that go on.
    `start_within`: s in which the arm, at its velocity limits, must be able to reach the first point where
    following begins. `ramp`: s in which the velocity limits rise to their full value.
    """

    def __init__(
        self,
        contract: Contract,
        command_timeout: float = 0.15,
        state_timeout: float = 0.15,
        lookahead: float = 0.2,
        start_within: float = 0.25,
        ramp: float = 0.5,
    ) -> None:
        self._contract = contract
        self._measured = [contract.spec.state.index(name) for name in contract.spec.action]
        self._command_timeout, self._state_timeout = round(command_timeout * 1e9), round(state_timeout * 1e9)
        self._lookahead, self._start_within, self._ramp = round(lookahead * 1e9), start_within, ramp
        self.reason = "no command yet"
        self.limited: Counter[str] = Counter()  # limit -> trajectories that it has changed
        self.holds: Counter[str] = Counter()  # why -> times that the arm was held
        self.estopped = False
        self._stopped = ""
        self._state: np.ndarray | None = None  # (A,) newest measured
        self._curve: Curve | None = None  # what the controller is doing, None before the first command
        self._state_at = self._command_at = self._followed_at = self._contested_at = -(2**62)  # steady ns
        self._now = -(2**62)  # newest ROS time
        self._sequences: dict[str, int] = {}  # topic -> number of the newest message
        self._restarts: dict[str, list[int]] = {}  # topic -> steady ns at which its numbers went back

    def measured(self, state: np.ndarray, steady: int) -> None:
        """Take the measured state (S,)."""
        self._state, self._state_at = np.asarray(state, float)[self._measured], steady

    def numbered(self, topic: str, sequence: int, steady: int) -> None:
        """Take a publisher's number of a message: numbers that go back again and again are two publishers."""
        if sequence <= self._sequences.get(topic, -1):
            recent = [t for t in self._restarts.get(topic, []) if steady - t < CONTESTED]
            self._restarts[topic] = [*recent, steady]
            if recent:  # going back once is a publisher that was started anew
                self._contested_at = steady
        self._sequences[topic] = sequence

    def command(self, times: np.ndarray, actions: np.ndarray, now: int, steady: int) -> Plan | None:
        """Take a trajectory, set-points (N, A) at times (N,) ns from now; returns what the controller gets.

        None: nothing does, and `reason` says why. A set-point that is no finite number latches a stop.
        """
        self._clock(now)
        if actions.ndim != 2 or actions.shape[1:] != (len(self._measured),) or len(times) != len(actions):
            return self.stop(f"trajectory of shape {actions.shape}, expected (N, {len(self._measured)})", now)
        if not np.isfinite(actions).all():
            return self.stop("a set-point that is not a finite number", now)
        if self._stopped:
            return None
        if len(times) == 0 or times[0] <= 0 or (np.diff(times) <= 0).any():
            return self.refuse("times of the command do not rise", now)
        silence = self._silent(steady, commands=False)
        if silence:
            return self._hold(silence, now)
        if self.reason and (far := self._far(actions[0], now)):
            return self._hold(far, now)
        if self._curve is None:
            self._curve = Curve.rest(now, self._state)
        if self.reason:
            self._followed_at = steady
        self.reason, self._command_at = "", steady
        since = (steady - self._followed_at) * 1e-9
        share = min(1.0, FIRST_SPEED + (1 - FIRST_SPEED) * since / self._ramp) if self._ramp else 1.0
        keep = max(1, int(np.searchsorted(times, self._lookahead, "right")))
        times, start = times[:keep], self._curve.at(now)[0]
        points, last, met = np.empty((keep, actions.shape[1])), start, set()
        for i, span in enumerate(np.diff(times, prepend=0)):
            points[i], limit = bound(self._contract, actions[i], last, float(span) * 1e-9 * share)
            last = points[i]
            met |= {limit} if limit else set()
        self.limited.update(met)
        return self._send(times, points, now, start)

    def watch(self, now: int, steady: int) -> Plan | None:
        """Look at the clocks; returns how to brake where someone has fallen silent."""
        self._clock(now)
        if self.reason:
            return None
        silence = self._silent(steady, commands=True)
        return self._hold(silence, now) if silence else None

    def refuse(self, reason: str, now: int) -> Plan | None:
        """Hold until a command comes that can be understood."""
        return None if self._stopped else self._hold(reason, now)

    def stop(self, reason: str, now: int) -> Plan | None:
        """Hold from now on, whatever is asked for, until `reset`; the first reason stays."""
        self._stopped = self._stopped or f"stopped: {reason}"
        return self._hold(self._stopped, now)

    def estop(self, engaged: bool, now: int) -> Plan | None:
        """Engage the latched stop, or let go of it: the arm stays stopped until `reset`."""
        self.estopped = engaged
        return self.stop("e-stop", now) if engaged else None

    def reset(self) -> str | None:
        """End a stop, or say why not; following begins from where the arm is, as it may have been moved."""
        if self.estopped:
            return "the e-stop is engaged: release it first"
        if self._stopped:
            self._stopped, self._curve = "", None
            self.reason = "no command since the stop"
        return None

    def _silent(self, steady: int, commands: bool) -> str:
        if steady - self._contested_at < CONTESTED:
            return "two publishers command this arm"
        if self._state is None:
            return "no joint states yet"
        if steady - self._state_at > self._state_timeout:
            return "joint states are silent"
        if commands and steady - self._command_at > self._command_timeout:
            return "commands are silent"
        return ""

    def _far(self, action: np.ndarray, now: int) -> str:
        assert self._state is not None
        seconds = np.abs(action - self._state) / self._contract.limits.velocity
        i = int(np.argmax(seconds))
        if seconds[i] <= self._start_within:
            return ""
        return (
            f"refused: {self._contract.spec.action[i]} is at {self._state[i]:.3f}, too far from the "
            f"first set-point {action[i]:.3f}; move the arm there first"
        )

    def _hold(self, reason: str, now: int) -> Plan | None:
        """Brake at constant deceleration; None where the arm is held already."""
        held, self.reason = bool(self.reason), reason
        if held:
            return None
        self.holds[reason] += 1
        assert self._curve is not None  # following has begun
        position, velocity = self._curve.at(now)
        limits = self._contract.limits
        end = np.clip(position + velocity * BRAKE * 0.5e-9, limits.low, limits.high)
        return self._send(np.array([BRAKE]), end[None], now, position)

    def _send(self, times: np.ndarray, points: np.ndarray, now: int, start: np.ndarray) -> Plan:
        assert self._curve is not None
        speeds = velocities(times, points, 0, start)
        self._curve = self._curve.replaced(now, now + times, points, speeds)
        return times, points, start

    def _clock(self, now: int) -> None:
        """Where ROS time goes back, a simulation was begun anew: the arm is wherever it is measured to be."""
        if now < self._now:
            if not self.reason:
                self.reason = "the clock was set back"
                self.holds[self.reason] += 1
            self._curve = None
        self._now = now
