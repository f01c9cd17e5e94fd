"""The last thing between a policy and the arm; robot and simulator pass the same one, outside the network."""

import numpy as np

from policy.errors import InputError
from policy.robot.contract import Contract


def bound(contract: Contract, action: np.ndarray, last: np.ndarray, elapsed: float) -> tuple[np.ndarray, str | None]:
    """The set-point (A,) nearest to `action` within the limits, `elapsed` s after `last`, and what it met."""
    limits, names = contract.limits, contract.spec.action
    bounded = np.clip(action, limits.low, limits.high)
    step = limits.velocity * np.float32(elapsed)
    command = np.clip(bounded, last - step, last + step)
    if not np.array_equal(bounded, action):
        return command, f"position limit of {names[int(np.argmax(bounded != action))]}"
    if not np.allclose(command, bounded, rtol=0, atol=1e-6):
        return command, f"velocity limit of {names[int(np.argmax(np.abs(command - bounded)))]}"
    return command, None


class Guard:
    """Position and velocity limits of a contract, hold when nothing is commanded, latched stop.

    Steps are measured from the last command and not from the measured state, as an arm under load lags
    behind its set-points; the first one is measured from the state.
    """

    def __init__(self, contract: Contract) -> None:
        spec = contract.spec
        self._contract = contract
        self._limits = contract.limits
        self._measured = [spec.state.index(name) for name in spec.action]  # a contract has them all
        self._dt = spec.dt_ns
        self._last: np.ndarray | None = None  # (A,) the command in force
        self._last_ns = 0
        self._stopped: str | None = None

    def stop(self, reason: str) -> None:
        """Hold from now on, whatever is asked for, until `release`."""
        self._stopped = self._stopped or reason

    def release(self) -> None:
        """End a stop; the next step is measured from the state, as the arm may have been moved by hand."""
        self._stopped = self._last = None

    def check(self, action: np.ndarray | None, state: np.ndarray, now_ns: int) -> tuple[np.ndarray, str | None]:
        """What may be commanded now, (A,) float32, and why it differs from `action` (None where it does not).

        `action` is a set-point (A,), or None where the schedule has none: then the last command is held.
        An action of wrong shape or with NaN latches the stop: a policy that says so will not recover.
        Raises `InputError` where there is no command yet and the state is not finite.
        """
        if self._last is None:
            self._last = np.clip(np.asarray(state, np.float32)[self._measured], self._limits.low, self._limits.high)
            self._last_ns = now_ns - self._dt
            if not np.isfinite(self._last).all():
                self._last = None
                raise InputError(
                    f"state: got {np.asarray(state).tolist()}, expected finite numbers; the arm "
                    "cannot be held where it is not known to be: check the joint topic"
                )
        elapsed = min(now_ns - self._last_ns, self._dt)  # after a pause the arm must not leap
        if action is not None and self._stopped is None:
            action = np.asarray(action, np.float32)
            if action.shape != self._last.shape:
                self.stop(f"stopped: action of shape {action.shape}, expected {self._last.shape}")
            elif not np.isfinite(action).all():
                self.stop("stopped: the action has NaN or infinite values")
        if self._stopped is not None:
            return self._last.copy(), self._stopped
        if action is None:
            self._last_ns = now_ns
            return self._last.copy(), "held: nothing is scheduled"
        if elapsed <= 0:
            return self._last.copy(), "held: the clock did not go forward"
        command, reason = bound(self._contract, action, self._last, elapsed * 1e-9)
        self._last, self._last_ns = command, now_ns
        return command.copy(), reason
