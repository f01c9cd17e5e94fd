"""The seam between the page's server and a robot: what is shown, and what may be asked for.

    thread of the robot   publish(State)  show(camera, picture) ---> Feed ---> thread of the server
    thread of the server  one of Backend.commands --------------------------> thread of the robot

The simulation and ROS are the two robots there are.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np


class Points(NamedTuple):
    """Set-points to come."""

    times: np.ndarray  # (N,) s from now
    values: np.ndarray  # (N, A), NaN where a controller has none


NO_POINTS = Points(np.empty(0), np.empty((0, 0)))


@dataclass(frozen=True, slots=True)
class State:
    """What a robot does now, as its policy and its safety monitor report it. A actions."""

    time: float  # s, the robot's clock
    instruction: str = ""  # in force
    serves: str = ""  # the instruction of the newest chunk
    following: tuple[str, ...] = ()  # what is done after it
    completed: tuple[str, ...] = ()
    unfinished: str = ""  # what "continue" would resume
    mode: str = ""  # forward, rollback or advance; "" where the policy does not estimate it
    contact: float | None = None  # probability
    done: float | None = None  # probability
    finished: bool = False  # done, confirmed
    holding: str = ""  # why nothing is commanded
    idle: bool = False  # because nothing is asked for
    refused: str = ""  # why the newest instruction was refused
    stopped: str = ""  # a latched stop, and why
    corrected: bool = False  # a person has taken over: the policy looks on
    faults: tuple[str, ...] = ()
    executed: np.ndarray | None = None  # (A,) where each action is measured, NaN where it is not
    committed: Points = NO_POINTS  # what controllers have been given
    planned: Points = NO_POINTS  # of the newest chunk
    paths: Mapping[str, np.ndarray] | None = None  # camera -> (N, 2) path of the hand, shares of width and height
    figures: Mapping[str, str] | None = None  # rates and latencies, as text
    judged: bool | None = None  # whether the simulator judges the chosen task as done
    scene: Mapping[str, Any] | None = None  # what is simulated


class Backend(Protocol):
    """A robot with its policy."""

    feed: "Feed"

    @property
    def commands(self) -> Mapping[str, Callable[..., str]]:
        """Name -> what does it and returns what it did; it raises `InputError` where it refuses."""

    def description(self) -> dict[str, Any]:
        """What does not change: model, joints, cameras, sentences that were taught, choices of the simulation."""


class Feed:
    """The newest state and pictures, handed from the robot's thread to the server's.

    Only the newest of each is kept, so a server that is slow or absent costs no memory.
    """

    def __init__(self) -> None:
        self.watched = False  # whether somebody looks: else nothing needs to be rendered
        self.wake: Callable[[], None] = lambda: None  # called from the robot's thread when there is something new
        self._lock = threading.Lock()
        self._state: State | None = None
        self._pictures: dict[str, np.ndarray | bytes] = {}

    def publish(self, state: State) -> None:
        """A new state."""
        with self._lock:
            self._state = state
        self.wake()

    def show(self, camera: str, picture: np.ndarray | bytes) -> None:
        """A new picture: RGB uint8 (H, W, 3), or JPEG."""
        with self._lock:
            self._pictures[camera] = picture
        self.wake()

    def take(self) -> tuple[State | None, dict[str, np.ndarray | bytes]]:
        """What has come since this was last called."""
        with self._lock:
            state, pictures = self._state, self._pictures
            self._state, self._pictures = None, {}
        return state, pictures
