"""What the controllers have been given: set-points that are executed even if everything else falls silent."""

import numpy as np

from console.backend import NO_POINTS, Points

LONGEST = 10 * 10**9  # ns: what ends later is of another clock


class Committed:
    """The newest plan of each controller, in units of the policy. A actions."""

    def __init__(self, actions: int, dt: int) -> None:
        self._actions, self._dt = actions, dt
        self._plans: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def take(self, controller: str, columns: np.ndarray, times: np.ndarray, values: np.ndarray) -> None:
        """A plan of a controller: the actions `columns` (J,), times (N,) ns and values (N, J)."""
        if len(times):
            self._plans[controller] = columns, times, values

    def in_force(self, now: int) -> np.ndarray:
        """The set-points (A,) at `now` [ns]; nan of what is on no plan."""
        values = np.full(self._actions, np.nan)
        for columns, times, rows in self._plans.values():
            values[columns] = rows[max(0, int(np.searchsorted(times, now, "right")) - 1)]
        return values

    def ahead(self, now: int) -> Points:
        """What is still to come, from `now` [ns] on in steps of dt; nothing of a plan on another clock."""
        plans = [plan for plan in self._plans.values() if 0 < plan[1][-1] - now <= LONGEST]
        if not plans:
            return NO_POINTS
        end = max(int(times[-1]) for _, times, _ in plans)
        at = np.arange(now, end + self._dt // 2, self._dt)
        rows = np.full((len(at), self._actions), np.nan)
        for columns, times, values in plans:
            known = (at >= times[0]) & (at <= times[-1])
            for i, column in enumerate(columns):
                rows[known, column] = np.interp(at[known], times, values[:, i])
        some = np.isfinite(rows).any(axis=1)  # a plan that has just been sent begins a little later
        return Points((at[some] - now) * 1e-9, rows[some])
