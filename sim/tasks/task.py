"""What a task is: when it is possible, when it is done, how it is phrased, how a scripted expert does it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from sim.world import World

LEAD = 0.055  # m ahead of the finger tips: with the arm's lag of about 0.12 s, some 0.4 m/s


class Goal(NamedTuple):
    """Where the finger tips should go now, and how wide the gripper should be."""

    point: np.ndarray  # (3,) m
    opening: float  # m
    lead: float = LEAD


Motion = Iterator[Goal]  # one goal for each control step
Point = Callable[[], np.ndarray]  # (3,) m, where something is now


class Task(ABC):
    """One meaning of an instruction, with its phrasings, its success test and its expert."""

    name: str
    kind: str
    moved_body: str
    phrasings: tuple[str, ...]  # for training
    reworded: tuple[str, ...]  # held out: known words in a new form
    new_words: tuple[str, ...]  # held out: at least one content word absent from `phrasings`
    steps: int = 200  # control steps until an episode is over

    @abstractmethod
    def possible(self, world: World) -> bool:
        """Whether the task can be done now and is not yet done."""

    @abstractmethod
    def success(self, world: World) -> bool:
        """Whether the task is done now, judged by the physical state."""

    @abstractmethod
    def motion(self, world: World) -> Motion:
        """The goals of the scripted expert, one for each control step."""
