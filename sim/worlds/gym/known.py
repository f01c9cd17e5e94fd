"""What is known of some environments beside their spaces: tasks with experts, the robot's own state, where to look.

Of any other one the task is its own success, nobody demonstrates it, and its state is all it observes.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from sim.worlds.gym.fetch import FETCH_PICK, FETCH_PUSH
from sim.worlds.gym.kitchen import TASKS as KITCHEN
from sim.worlds.gym.tasks import EpisodeTask
from sim.worlds.interface import Task


class Known(NamedTuple):
    """Beside the spaces of an environment."""

    tasks: Mapping[str, Task]
    own: tuple[int, ...] | None = None  # of the flattened observation: what the robot itself measures; None: all of it
    names: tuple[str, ...] = ()  # of these
    undisturbed: tuple[int, ...] = ()  # actions that are never disturbed, such as of a gripper
    views: Mapping[str, Any] = MappingProxyType({"front": None})  # camera -> name in the scene, or where it looks
    options: Mapping[str, Any] = MappingProxyType({})  # of gymnasium.make


def _fetch(task: Task) -> Known:
    return Known(
        {task.name: task},
        own=(6, 7, 8, 15, 16),
        names=("hand_x", "hand_y", "hand_z", "finger_1", "finger_2"),
        undisturbed=(3,),
        views={
            "front": {"lookat": (1.3, 0.75, 0.5), "distance": 0.9, "azimuth": 180.0, "elevation": -35.0},
            "side": {"lookat": (1.3, 0.75, 0.5), "distance": 0.9, "azimuth": 90.0, "elevation": -15.0},
        },
    )


KNOWN: dict[str, Known] = {
    "FetchPush": _fetch(FETCH_PUSH),
    "FetchPickAndPlace": _fetch(FETCH_PICK),
    "FrankaKitchen": Known(
        KITCHEN,
        own=tuple(range(8, 17)),
        names=(*(f"joint{i}" for i in range(1, 8)), "finger_1", "finger_2"),
        undisturbed=(7, 8),
        views={
            "front": {"lookat": (-0.35, 0.5, 2.1), "distance": 1.7, "azimuth": 70.0, "elevation": -25.0},
            "side": {"lookat": (-0.35, 0.5, 2.1), "distance": 1.4, "azimuth": 110.0, "elevation": -5.0},
        },
        options={
            "tasks_to_complete": [task.thing for task in KITCHEN.values()],
            "terminate_on_tasks_completed": False,
            "remove_task_when_completed": False,
        },
    ),
}


def known(environment: str) -> Known:
    """Of an environment with this id, whatever its version."""
    base = environment.rsplit("/", 1)[-1].rsplit("-v", 1)[0]
    if base in KNOWN:
        return KNOWN[base]
    words = " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", base)).lower()
    task = EpisodeTask(words.replace(" ", "_"), (words,))
    return Known({task.name: task})
