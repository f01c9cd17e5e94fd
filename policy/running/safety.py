"""The safety monitor: the last thing between a policy and a controller; robot and simulator pass the same one.

    set-points of the policy -> limits, ramp -> the first `lookahead_s` of them -> Plan -> controller
                                    |
    silent commands, silent joints, NaN, far away, not followed, two publishers, stop, e-stop -> brake and hold

The robot's clock (`now`, which a simulation may stop or set back) says where on the plan the controller is; a steady
clock (`steady`) says who is silent. Only the beginning of a trajectory goes on, so that the arm comes to rest by
itself if this process dies. Wherever following begins or begins again, it begins at the measured state, once the arm
rests; that of a gripper, which may hold something, at its last set-point.
"""

from collections.abc import Sequence

import numpy as np

from policy.robot import continuous
from policy.robot.bounded_counter import BoundedCounter
from policy.robot.commands import Controller, Kind
from policy.robot.contract import Contract
from policy.robot.live_observations import FUTURE
from policy.running.followed import LATE, MS
from policy.running.plan import GAP, Plan, Planner
from policy.running.pose_plan import BRAKE, PosePlanner
from policy.running.velocity_plan import VelocityPlanner

FIRST_SPEED = 0.2  # of the velocity limits, where following begins; whole after `ramp_s`
UNFOLLOWED = 500_000_000  # ns that the arm may be far from its set-point
NO_COMMAND = "no command yet"
TO_REST = "the arm is coming to rest"
AFTER_BRAKE = LATE + 150 * MS  # until it rests: the brake may be late, and what is measured lags behind
PLANNERS: dict[Kind, type[Planner] | type[PosePlanner] | type[VelocityPlanner]] = {
    "position": Planner,
    "pose": PosePlanner,
    "velocity": VelocityPlanner,
    "twist": VelocityPlanner,
}


class SafetyMonitor:
    """Set-points in, plans for the controllers out; `reason` says why the arm is held, "" if it is not.

    What a controller is to do that takes one set-point at a time is in `streamed`, again and again.

    `command_timeout_s`, `state_timeout_s`: silence until hold. `lookahead_s`: how much of a trajectory goes on.
    `start_within_s`: the time in which the arm, at its velocity limits, must be able to reach the first point where
    following begins. `ramp_s`: the time in which the velocity limits rise to their full value.
    """

    def __init__(
        self,
        contract: Contract,
        command_timeout_s: float = 0.15,
        state_timeout_s: float = 0.15,
        lookahead_s: float = 0.25,
        start_within_s: float = 0.25,
        ramp_s: float = 0.5,
    ) -> None:
        spec = contract.spec
        self._contract = contract
        self._planners = [PLANNERS[c.command.kind](contract, c) for c in contract.controllers]
        self._measured = contract.measured  # (A,) places in the state
        self._command_timeout, self._state_timeout = round(command_timeout_s * 1e9), round(state_timeout_s * 1e9)
        self._lookahead, self._start_within, self._ramp = round(lookahead_s * 1e9), start_within_s, ramp_s
        # ns from now to the first point of a command: a loop that comes to rest gives it in two steps, and by the time
        # of a frame, which may be ahead by FUTURE
        self._farthest = max(self._lookahead, FUTURE + 2 * spec.dt_ns)
        self.reason = NO_COMMAND
        self.met: list[str] = []  # limits that the newest command met
        self.limited = BoundedCounter()  # limit -> plans that it has changed
        self.holds = BoundedCounter()  # why -> times that the arm was held
        self.estopped = False
        self._stopped = ""
        self._faults: dict[str, str] = {}  # what others report, by who does: the arm is held while one is not ""
        self._state = np.full(len(spec.state), np.nan)  # newest measured
        self._unmeasured = [(spec.state.index(name), spec.action.index(name)) for name in contract.initial]
        for (place, _), value in zip(self._unmeasured, contract.initial.values(), strict=True):
            self._state[place] = value
        self._turns = np.array(list(contract.turns.values()))
        ends = np.cumsum([len(source.spec_names) for source in contract.state])
        self._sources = [slice(int(a), int(b)) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        self._state_at: list[int | None] = [None] * len(self._sources)  # steady ns, for each source
        self._command_at = self._followed_at = self._near_at = -(2**62)  # steady ns
        self._now = self._rests_at = -(2**62)  # newest time of the robot's clock; when the arm has come to rest

    def measured(self, state: np.ndarray, steady: int) -> None:
        """Take the measured state (S,) of all sources at once."""
        for i, part in enumerate(self._sources):
            self.measured_part(i, state[part], steady)

    def measured_part(self, source: int, values: np.ndarray | Sequence[float], steady: int) -> None:
        """Take what one source of the contract's state measured: each source has a watchdog of its own."""
        part = self._sources[source]
        before = np.where(np.isfinite(self._state[part]), self._state[part], values)
        self._state[part] = continuous.near(np.asarray(values, float), before, self._turns[part])
        self._state_at[source] = steady

    def command(self, times: np.ndarray, actions: np.ndarray, now: int, steady: int) -> list[Plan]:
        """Take set-points (N, A) at times (N,) ns on the robot's clock; returns what the controllers get.

        One without a plan gets nothing new; where the arm is held, `reason` says why. A set-point that is no finite
        number latches a stop.
        """
        self._clock(now)
        if actions.ndim != 2 or actions.shape[1:] != (len(self._measured),) or len(times) != len(actions):
            return self.stop(f"set-points of shape {actions.shape}, expected (N, {len(self._measured)})", now)
        if not np.isfinite(actions).all():
            return self.stop("a set-point that is not a finite number", now)
        if self._stopped:
            return []
        if len(times) == 0 or (np.diff(times) <= 0).any():
            return self.refuse("times of the command do not rise", now)
        coming = times > now
        if not coming.any():
            return self.refuse("the command ends in the past: late, or clocks that disagree", now)
        times, actions = times[coming], np.asarray(actions[coming], float)
        if times[0] - now > self._farthest:
            return self.refuse(
                f"the command begins too far ahead, {(times[0] - now) * 1e-9:.1f} s from now (at most "
                f"{self._farthest * 1e-9:.2f} s): clocks that disagree; synchronise them",
                now,
            )
        if fault := self._fault(steady):
            return self._hold(fault, now)
        standing = np.where(self._measured < 0, actions[0], self._state[self._measured])
        turns = np.where(self._measured < 0, 0.0, self._turns[self._measured])
        actions -= actions[0] - continuous.near(actions[0], standing, turns)  # it may count turns from another start
        if self.reason:
            if now < self._rests_at:
                return self._hold(TO_REST, now)
            if far := self._far(actions[0]):
                return self._hold(far, now)
            for planner in self._planners:
                planner.begin(now, self._state.copy())
            self._followed_at = self._near_at = steady
        self.reason, self._command_at = "", steady
        keep = int(np.searchsorted(times, now + max(self._lookahead, LATE + GAP), "right"))
        keep += keep == 0 or times[keep - 1] < now + LATE + GAP  # one at least to which a plan can depart
        times, actions = times[:keep], actions[:keep]
        self._look(now, steady)
        shares, plans, met = self._shares(times - now, steady), [], set[str]()
        for planner in self._planners:
            plan, limits = planner.follow(times, actions, now, shares)
            plans += [plan] if plan else []
            met |= limits
        self.met = sorted(met)
        for limit in self.met:
            self.limited.add(limit)
        return plans

    def watch(self, now: int, steady: int) -> list[Plan]:
        """Look at clocks and arm; returns how to brake where someone has fallen silent or the arm does not follow."""
        self._clock(now)
        self._look(now, steady)
        if self.reason:
            return []
        if unfollowed := self._unfollowed(now, steady):
            return self.stop(unfollowed, now)
        if fault := self._fault(steady):
            return self._hold(fault, now)
        if steady - self._command_at > self._command_timeout:
            return self._hold("commands are silent", now)
        return []

    def report(self, who: str, fault: str, now: int) -> list[Plan]:
        """Take a fault that others see ("" where there is none): the arm is held as long as there is one."""
        self._faults[who] = fault
        return self._hold(fault, now) if fault and not self._stopped else []

    def refuse(self, reason: str, now: int) -> list[Plan]:
        """Hold until a command comes that can be understood."""
        return [] if self._stopped else self._hold(reason, now)

    def stop(self, reason: str, now: int) -> list[Plan]:
        """Hold from now on, whatever is asked for, until `reset`; the first reason stays."""
        self._stopped = self._stopped or f"stopped: {reason}"
        return self._hold(self._stopped, now)

    def estop(self, engaged: bool, now: int) -> list[Plan]:
        """Engage the latched stop, or let go of it: the arm stays stopped until `reset`."""
        self.estopped = engaged
        return self.stop("e-stop", now) if engaged else []

    def reset(self) -> str | None:
        """End a stop, or return why not."""
        if self.estopped:
            return "the e-stop is engaged: release it first"
        if self._stopped:
            self._stopped, self.reason = "", "no command since the stop"
        return None

    @property
    def stopped(self) -> str:
        """Why the arm is stopped until `reset`, "" if it is not."""
        return self._stopped

    # -- within

    def _fault(self, steady: int) -> str:
        for fault in self._faults.values():
            if fault:
                return fault
        for source, at in zip(self._contract.state, self._state_at, strict=True):
            if at is None:
                return f"no joint states yet on {source.topic}"
            if steady - at > self._state_timeout:
                return f"joint states are silent on {source.topic}"
        return "" if np.isfinite(self._state).all() else "joint states that are not finite numbers"

    def _shares(self, ahead: np.ndarray, steady: int) -> np.ndarray:
        """Of the velocity limits, at times (N,) ns from now: less where following has just begun."""
        if not self._ramp:
            return np.ones(len(ahead))
        since = (steady - self._followed_at + ahead) * 1e-9
        return np.minimum(1.0, FIRST_SPEED + (1 - FIRST_SPEED) * since / self._ramp)

    def _look(self, now: int, steady: int) -> None:
        """Let those that follow the measured state see it, None where a source of it is silent."""
        if self._unmeasured and all(planner.known for planner in self._planners):  # while it brakes as well
            setpoint = self.setpoint(now)
            for place, action in self._unmeasured:  # it is where it was commanded to be
                self._state[place] = setpoint[action]
        watching = [p for p in self._planners if isinstance(p, PosePlanner | VelocityPlanner) and p.known]
        if not watching:
            return
        known = all(at is not None and steady - at <= self._state_timeout for at in self._state_at)
        for planner in watching:
            planner.watch(now, self._state.copy() if known else None)

    def _far(self, action: np.ndarray) -> str:
        state = np.where(self._measured < 0, action, self._state[self._measured])
        seconds = np.abs(action - state) / self._contract.limits.velocity
        seconds[self._contract.grippers] = 0  # one that holds something is far from its set-point
        i = int(np.argmax(seconds))
        if seconds[i] <= self._start_within:
            return ""
        return (
            f"refused: {self._contract.spec.action[i]} is at {state[i]:.3f}, too far from the "
            f"first set-point {action[i]:.3f}; move the arm there first"
        )

    def _unfollowed(self, now: int, steady: int) -> str:
        """Whether the arm has been far from its set-point for long; a gripper that holds something is."""
        setpoint, measured = self.setpoint(now), self._state[self._measured]
        gap = np.where(self._measured < 0, 0.0, measured - setpoint)
        for planner, controller in zip(self._planners, self._contract.controllers, strict=True):
            if isinstance(planner, VelocityPlanner):
                gap[controller.columns[: len(planner.astray)]] = planner.astray
        error = np.abs(gap) - self._contract.tracking_max
        error[self._contract.grippers] = -1
        if (error <= 0).all():
            self._near_at = steady
        if steady - self._near_at <= UNFOLLOWED:
            return ""
        i = int(np.argmax(error))
        how = f"it is at {measured[i]:.3f}, its set-point is {setpoint[i]:.3f}"
        if self._measured[i] < 0:
            how = f"it has moved {gap[i]:+.3f} from where its velocities lead"
        return (
            f"{self._contract.spec.action[i]} does not follow: {how}; look at the controller and at what blocks the arm"
        )

    def _hold(self, reason: str, now: int) -> list[Plan]:
        """Brake; nothing to do where the arm is held already."""
        held, self.reason = bool(self.reason), reason
        if held:
            return []
        self.holds.add(reason)
        moved = [planner for planner in self._planners if planner.known]
        plans = [plan for planner in moved if (plan := planner.brake(now))]
        if moved:
            trajectories = sum(isinstance(planner, Planner) for planner in moved)
            goes_on = self._lookahead if len(plans) < trajectories else BRAKE  # to the end of the plan before
            self._rests_at = max([now + goes_on, *(int(plan.times[-1]) for plan in plans)]) + AFTER_BRAKE
        return plans

    def setpoint(self, now: int) -> np.ndarray:
        """The set-point (A,) in force, if nothing was late."""
        action = np.empty(len(self._measured))
        for planner, controller in zip(self._planners, self._contract.controllers, strict=True):
            action[controller.columns] = planner.at(now)[0]
        return action

    def streamed(self, now: int) -> list[tuple[Controller, np.ndarray]]:
        """The set-point (J,) now of each controller that takes one at a time.

        A held velocity is given again and again, as zero; a position or pose that is held stays what it was.
        """
        return [
            (controller, planner.at(now)[0])
            for planner, controller in zip(self._planners, self._contract.controllers, strict=True)
            if controller.streamed and planner.known
        ]

    def _clock(self, now: int) -> None:
        """Where the robot's clock goes back, a simulation has begun anew: the arm is wherever it is measured to be."""
        if now < self._now:
            if not self.reason:
                self.reason = "the clock was set back"
                self.holds.add(self.reason)
            self._rests_at = now + self._lookahead + AFTER_BRAKE  # it goes to the end of what was sent
            for planner in self._planners:
                planner.forget()
        self._now = now
