"""LIBERO-Goal, as sim.worlds names it."""

from typing import ClassVar

import numpy as np

from sim.worlds.interface import Task
from sim.worlds.libero_goal.table import OFFICIAL, OPEN, LiberoTable
from sim.worlds.libero_goal.tasks import TASKS
from sim.worlds.libero_goal.tasks.task import BOTTLE, BOWL, CHEESE, PLATE


class LiberoGoal(LiberoTable):
    """One scene for the ten tasks of the benchmark.

    State and action (7,): position of the hand [m], rotation vector from pointing down [rad], opening [m].
    """

    name = contract_name = "libero_goal"
    tasks: ClassVar[dict[str, Task]] = dict(TASKS)
    starts: ClassVar[tuple[str, ...]] = ("home", "other")
    evaluated_from = (OFFICIAL,)
    success_steps = 1  # as the benchmark has it
    grace = 0
    lag = 3
    home = np.array([-0.2085, 0.0, 1.1733, 0.0, 0.0, 0.0, OPEN])
    joint_topics: ClassVar[dict[str, tuple[str, ...]]] = {
        "joint_states": (*(f"panda_joint{i}" for i in range(1, 8)), "panda_finger_joint1", "panda_finger_joint2")
    }
    grippers = np.arange(7) == 6
    loose_bodies: ClassVar[tuple[str, ...]] = (BOWL, CHEESE, BOTTLE, PLATE)
    bounds = ((-0.55, 0.45), (-0.6, 0.6), (0.87, np.inf))  # the table's top
