"""The Franka at its table, as sim.worlds names it."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from sim.worlds.interface import Task
from sim.worlds.tabletop.appearance import SHIFTS
from sim.worlds.tabletop.layout import HOME
from sim.worlds.tabletop.scene import BLOCKS
from sim.worlds.tabletop.sentences import SENTENCES
from sim.worlds.tabletop.table import OPEN, Table
from sim.worlds.tabletop.tasks import SUITES, TASKS


class Tabletop(Table):
    """One scene for all tasks, so that only the instruction tells them apart.

    State and action (8,): 7 joint positions [rad], total gripper opening [m].
    """

    name = contract_name = "tabletop"
    tasks: ClassVar[dict[str, Task]] = dict(TASKS)
    starts = ("home", "other", "near_miss", "undecided")
    suites: ClassVar[Mapping[str, Mapping[str, Task]]] = SUITES
    sentences = SENTENCES
    shifts = tuple(SHIFTS)
    lag = 3
    home = np.append(HOME, OPEN)
    joint_topics: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "joint_states": (*(f"panda_joint{i}" for i in range(1, 8)), "panda_finger_joint1", "panda_finger_joint2")
    }
    grippers = np.arange(8) == 7
    loose_bodies = (*BLOCKS, "puck")
    bounds = ((0.0, 0.9), (-0.6, 0.6), (-0.02, np.inf))  # the table's top
