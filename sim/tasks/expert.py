"""The scripted expert: a task's motion as set-points of the joints."""

from collections.abc import Iterator

import numpy as np

from sim.kinematics import Kinematics
from sim.tasks.task import Motion, Task
from sim.world import World

SUCCESS_STEPS = 10  # control steps for which success must hold
STEP = 0.10  # rad, the most a joint set-point moves in a control step: within the real arm's 2.175 rad/s


class Expert:
    """Turns a motion into set-points."""

    def __init__(self, world: World, motion: Motion, kinematics: Kinematics) -> None:
        self._world, self._kinematics, self._motion = world, kinematics, motion
        self._last = world.setpoint()[:7]

    def act(self) -> np.ndarray | None:
        """Set-points (8,): 7 joints [rad], gripper [m]; None when the motion is over."""
        goal = next(self._motion, None)
        if goal is None:
            return None
        tcp = self._world.tcp
        across, up = goal.point[:2] - tcp[:2], goal.point[2] - tcp[2]
        across = across * min(1.0, goal.lead / max(float(np.linalg.norm(across)), 1e-9))
        point = tcp + np.append(across, np.clip(up, -goal.lead, goal.lead))  # height is held however far the goal
        change = self._kinematics.solve(point) - self._last
        self._last = self._last + change * min(1.0, STEP / max(float(np.abs(change).max()), 1e-9))
        return np.append(self._last, goal.opening).astype(np.float32)


def demonstrate(world: World, task: Task, kinematics: Kinematics) -> Iterator[bool]:
    """Let the expert do `task`, one control step for each item: whether success has held for SUCCESS_STEPS steps."""
    expert, held = Expert(world, task.motion(world), kinematics), 0
    for _ in range(task.steps):
        action = expert.act()
        if action is None:
            return
        world.step(action)
        held = held + 1 if task.success(world) else 0
        yield held >= SUCCESS_STEPS
