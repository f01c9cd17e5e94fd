"""A model of ros2_control's joint_trajectory_controller (Jazzy), for the simulator and for tests; no ROS in here.

The newest trajectory replaces the old one whole. It begins at the set-point in force, not at the measured
position (`interpolate_from_desired_state: true`, which streamed chunks need), and its last point is held.
"""

import numpy as np

from policy.robot.trajectory import Curve


class TrajectoryController:
    """One controller of some joints, in the robot's units."""

    def __init__(self, joints: tuple[str, ...], position: np.ndarray, now: int) -> None:
        self.joints = joints
        self._curve = Curve.rest(now, np.asarray(position, float))

    def at(self, now: int) -> np.ndarray:
        """The set-point (J,) at a time [ns]."""
        return self._curve.at(now)[0]

    def hold(self, position: np.ndarray, now: int) -> None:
        """Forget the trajectory and stand at a position (J,), as after a reset."""
        self._curve = Curve.rest(now, np.asarray(position, float))

    def command(
        self,
        names: list[str],
        times: np.ndarray,
        positions: np.ndarray,
        velocities: np.ndarray | None,
        stamp: int,
        now: int,
    ) -> str | None:
        """Follow points (N, J) at times (N,) ns after `stamp` (0: now); or say why not, and go on as before.

        `names` gives the order of the columns.
        """
        if len(times) == 0:
            return "empty trajectory"
        in_order = tuple(names) == self.joints
        if not in_order and sorted(names) != sorted(self.joints):
            return f"joints {', '.join(names)}, expected {', '.join(self.joints)}"
        if positions.shape != (len(times), len(names)):
            return f"positions of shape {positions.shape}, expected {(len(times), len(names))}"
        if velocities is not None and velocities.shape != positions.shape:
            return f"velocities of shape {velocities.shape}, expected {positions.shape}"
        # A real one does not look for NaN; a simulation would not survive it.
        if not np.isfinite(positions).all() or (velocities is not None and not np.isfinite(velocities).all()):
            return "a value that is not a finite number"
        if times[0] < 0 or (times[1:] <= times[:-1]).any():
            return "times that do not rise"
        if velocities is not None and np.abs(velocities[-1]).max() > 1e-6:
            return "a last velocity that is not zero"
        begin = stamp or now
        if begin + times[-1] < now:
            return "an end that has passed"
        if not in_order:
            order = [names.index(joint) for joint in self.joints]
            positions, velocities = positions[:, order], None if velocities is None else velocities[:, order]
        self._curve = self._curve.replaced(now, begin + times, positions, velocities)
        return None
