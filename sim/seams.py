"""How rough the commanded motion is where one chunk follows another, against inside a chunk.

set-points    o  o  o  o | n  n  n  n            third differences over four of them in a row:
inside        [--------]   [--------]            all of one chunk
seam             [---------------]               of two chunks
"""

from typing import Any

import numpy as np

from sim.rollout import SimulatedLoop

ORDER = 3  # of the difference: jerk


class Seams:
    """Collects the set-points of a loop, one a control step, and where a chunk joined."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop, self._velocity = loop, loop.session.contract.limits.velocity
        self._commands: list[np.ndarray] = []
        self._times: list[int] = []
        self._seams: set[int] = set()

    def step(self) -> None:
        """After each control step."""
        self._commands.append(self._loop.command.copy())
        self._times.append(self._loop.world.time_ns)
        self._seams.add(self._loop.loop.joined)

    def jerk(self) -> dict[str, Any]:
        """Root mean square of the jerk at seams and inside, in velocity limits per s^2, and the number of seams."""
        dt = self._loop.session.spec.dt_ns
        commands, times = np.array(self._commands), np.array(self._times)
        if len(commands) <= ORDER:
            return {"jerk_seam": None, "jerk_inside": None, "seams": 0}
        jerk = np.abs(np.diff(commands, ORDER, axis=0) / self._velocity).max(1) * (1e9 / dt) ** ORDER
        # the first set-point of a chunk is that of the step which ends at its time
        first = np.isin(np.round((times - times[0]) / dt), np.round((np.array(sorted(self._seams)) - times[0]) / dt))
        first[0] = False
        at = np.array([first[i + 1 : i + 1 + ORDER].any() for i in range(len(jerk))])
        return {"jerk_seam": _rms(jerk[at]), "jerk_inside": _rms(jerk[~at]), "seams": int(first.sum())}


def _rms(values: np.ndarray) -> float | None:
    return float(np.sqrt(np.mean(values**2))) if len(values) else None
