"""What a world is: the seam between the robots that are simulated and everything that records and evaluates.

    sim.record, sim.switches, sim.evaluate, sim.demo, sim_node
      |  reset, step, frame, clock, contact     tasks: possible, success, phrasings, expert, time limit
    World                                       Task

To add one, imitate sim/worlds/desk_arm and name it in sim/worlds/__init__.py. Nothing outside a world's folder imports
from it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np

from policy.errors import InputError, listed
from policy.robot import contract as contracts
from policy.robot.contract import Contract
from policy.spec import Frame

RATE = 20  # Hz: every world is controlled at this rate
STEP_NS = 10**9 // RATE  # a control step
SUCCESS_STEPS = 10  # control steps for which success must hold, where a world does not say otherwise
GRACE = 5 * RATE  # control steps to leave a task for another, likewise


class JointReading(NamedTuple):
    """One reading of the joint encoders, in the order of `World.joint_topics` (J of them)."""

    stamp: int  # ns
    position: np.ndarray  # (J,) rad, m
    velocity: np.ndarray  # (J,) rad/s, m/s
    effort: np.ndarray  # (J,) N m, N


class Sentences(NamedTuple):
    """Frozen sentences that no policy is trained on, for `sim.evaluate --words`."""

    order: Mapping[str, tuple[str, ...]] = MappingProxyType({})  # task -> where its opposite could be asked for as well
    negated: Mapping[str, str] = MappingProxyType({})  # sentence -> the task that it forbids
    near_misses: tuple[str, ...] = ()  # things or doings that are not there
    pairs: Mapping[str, tuple[str, str]] = MappingProxyType({})  # sentence -> the two tasks that it asks for

    def all(self) -> list[str]:
        """Every sentence."""
        ordered = [text for texts in self.order.values() for text in texts]
        return [*ordered, *self.negated, *self.near_misses, *self.pairs]


class World(ABC):
    """One robot in its scene, controlled at 20 Hz by set-points (A,) in the units of its contract.

    What follows from the class alone is a class variable, so that no scene is built to read it.
    """

    name: ClassVar[str]
    contract_name: ClassVar[str]  # of policy/contracts
    contract_text: ClassVar[str] = ""  # YAML of one that is not there, as it follows from an environment
    also_recorded: ClassVar[tuple[str, ...]] = ()  # other contracts of this robot, whose commands its bags hold too
    tasks: ClassVar[Mapping[str, "Task"]]
    suites: ClassVar[Mapping[str, Mapping[str, "Task"]]] = MappingProxyType({})  # further tasks, asked for by name only
    sentences: ClassVar[Sentences] = Sentences()
    one_scene: ClassVar[bool] = True  # whether its tasks share a scene, so that one can follow another
    starts: ClassVar[tuple[str, ...]] = ("home", "other")  # kinds of initial state, as in sim.initial_states
    shifts: ClassVar[tuple[str, ...]] = ()  # changes of the look for evaluations, as in `shift`
    evaluated_from: ClassVar[tuple[str, ...]] = ("home", "home", "other")  # the starts of an evaluation, in turn
    tells_contact: ClassVar[bool] = True  # whether `contact` is ever true
    success_steps: ClassVar[int] = SUCCESS_STEPS  # control steps for which success must hold
    grace: ClassVar[int] = GRACE  # control steps beyond those of a task, after a change of the instruction
    lag: ClassVar[int]  # control steps by which the arm follows its set-points
    home: ClassVar[np.ndarray]  # (A,) set-points at home, the hand open
    joint_topics: ClassVar[Mapping[str, tuple[str, ...]]]  # topic of joint states -> its joints; two arms have two
    grippers: ClassVar[np.ndarray]  # bool: the set-points to which no disturbance is added, of all that `step` disturbs
    show_camera: ClassVar[str] = "show"  # films what the robot does
    loose_bodies: ClassVar[tuple[str, ...]] = ()  # objects that can be dropped
    bounds: ClassVar[Sequence[tuple[float, float]]]  # m: x, y and z within which an object has not fallen off

    joints: list[JointReading]  # since the last control step began
    image_filter: Callable[[np.ndarray], np.ndarray] | None = None  # what the camera does to a picture; until `reset`

    @classmethod
    def contract(cls) -> Contract:
        """The topics, units and limits of this robot."""
        return contracts.load(cls.contract_name)

    @classmethod
    def every_task(cls) -> dict[str, "Task"]:
        """The tasks, and those of the suites."""
        return {name: task for tasks in (cls.tasks, *cls.suites.values()) for name, task in tasks.items()}

    @classmethod
    def named(cls, names: str) -> list[str]:
        """The tasks meant by "all", or by names of tasks and suites with commas between; `InputError` for others."""
        if names == "all":
            return list(cls.tasks)
        given = listed(names, "task", [*cls.every_task(), *cls.suites])
        return list(dict.fromkeys(task for name in given for task in cls.suites.get(name, (name,))))

    @classmethod
    def require_several_tasks(cls) -> None:
        """`InputError` where no scene of this world has two tasks, so that no instruction can change to another."""
        if len(cls.tasks) < 2 or not cls.one_scene:
            has = "one task in each scene" if len(cls.tasks) > 1 else f"one task, {', '.join(cls.tasks)}"
            raise InputError(
                f"the world {cls.name} has {has}, and to change the instruction needs two; give another --world"
            )

    # -- time

    @abstractmethod
    def reset(self, rng: np.random.Generator) -> None:
        """Draw a layout and put the arm near home; the clock begins at 0, the look is the plain one.

        Equal generators give equal scenes.
        """

    def reset_to(self, task: str, rng: np.random.Generator) -> None:
        """As `reset`, to the scene of a task, where tasks have scenes of their own."""
        self.reset(rng)

    @abstractmethod
    def step(self, action: np.ndarray, disturbance: np.ndarray | None = None) -> None:
        """Hold set-points (A,) for one control step; `disturbance` (A,) is added below the recorded command."""

    def translated(self, action: np.ndarray, contract_name: str) -> np.ndarray:
        """What an action (A,) that is about to be taken is under a contract of `also_recorded`."""
        raise NotImplementedError

    @property
    @abstractmethod
    def time_ns(self) -> int:
        """The simulated clock [ns]."""

    @abstractmethod
    def setpoint(self) -> np.ndarray:
        """The set-points (A,) in force."""

    # -- observation

    @abstractmethod
    def state(self) -> np.ndarray:
        """Proprioception (S,) float32, as the contract names it."""

    def joint_states(self) -> Iterator[tuple[str, tuple[str, ...], JointReading]]:
        """Topic, joints and values of each joint state since the last control step began, in the order of time."""
        for reading in self.joints:
            begin = 0
            for topic, names in self.joint_topics.items():
                part = slice(begin, begin + len(names))
                begin += len(names)
                yield topic, names, JointReading(reading.stamp, *(values[part] for values in reading[1:]))

    @abstractmethod
    def frame(self) -> Frame:
        """All cameras of the contract, each picture as `filtered`, and the state, now."""

    @abstractmethod
    def render(self, camera: str, height: int, width: int) -> np.ndarray:
        """RGB uint8 (height, width, 3)."""

    def film(self, height: int, width: int) -> np.ndarray:
        """What the robot does, for people to look at: RGB uint8 (height, width, 3); it may take its time."""
        return self.render(self.show_camera, height, width)

    def filtered(self, picture: np.ndarray) -> np.ndarray:
        """A picture (H, W, 3) as the camera delivers it."""
        return picture if self.image_filter is None else self.image_filter(picture)

    def begin(self, task: str, start: str, seed: int, rng: np.random.Generator) -> None:
        """Reset to a start of this world's own; one that is not in sim.initial_states."""
        raise NotImplementedError

    def vary(self, rng: np.random.Generator) -> str:
        """Draw another look until the next `reset`, for recordings; what was changed, in words.

        It changes pictures only: the physics of an episode stays the same to the bit.
        """
        return "plain"

    def shift(self, name: str, rng: np.random.Generator) -> None:
        """Change the look until the next `reset`, by one of `shifts`; its values are in no variation."""
        raise NotImplementedError

    # -- ground truth: for success tests, experts and labels, never for a policy

    @property
    @abstractmethod
    def contact(self) -> bool:
        """Whether the hand has touched a movable body for at least two control steps, by the physics."""

    @abstractmethod
    def touched(self, body: str) -> bool:
        """Whether the hand touches this body now."""

    @abstractmethod
    def position(self, body: str) -> np.ndarray:
        """Where a body is, (3,) m."""

    @abstractmethod
    def fall_speed(self, body: str) -> float:
        """How fast a loose body moves downwards [m/s]."""

    @abstractmethod
    def layout(self) -> np.ndarray:
        """Everything that tells one layout from another, (N,)."""


W = TypeVar("W", bound=World)


class TaskIn(ABC, Generic[W]):
    """One meaning of an instruction in worlds of class W: its phrasings, its success test and its expert."""

    name: str
    kind: str  # tasks of one kind that move the same body are opposites
    moved_body: str
    phrasings: tuple[str, ...]  # for training
    reworded: tuple[str, ...]  # held out: known words in a new form
    new_words: tuple[str, ...]  # held out: at least one content word absent from `phrasings`
    steps: int = 200  # control steps until an episode is over
    grasps: bool = False  # whether the hand carries an object
    opposite: str = ""  # the task that undoes it, or that the same words in another order ask for
    restored: bool = True  # whether a switch away from it puts what it moves back in its place

    @abstractmethod
    def possible(self, world: W) -> bool:
        """Whether the task can be done now and is not yet done."""

    @abstractmethod
    def success(self, world: W) -> bool:
        """Whether the task is done now, judged by the physical state."""

    def arrange(self, world: W, rng: np.random.Generator) -> None:
        """Draw what this task needs beside the layout, at the end of `sim.initial_states.start`."""

    def first(self, world: W) -> "Task | None":
        """The task that an episode of this one begins with, asked for before it; None: there is none.

        It follows from `arrange`. Such tasks are about what was seen before: recordings hold both in one bag.
        """
        return None

    def outcome(self, world: W) -> str:
        """Which of several ways was taken, "" where there is one."""
        return ""

    def undecided(self, world: W, rng: np.random.Generator) -> bool:
        """Change the layout so that this task and its opposite could both be asked for; False where it cannot be.

        Only for tasks with an `opposite`. The task may be done already, as a lamp may be asked for that is on.
        """
        return False

    @abstractmethod
    def expert(self, world: W) -> Iterator[np.ndarray]:
        """Set-points (A,) of the scripted expert, one for each control step; each is read just before its step."""

    def near_miss(self, world: W, after: int, leaving: int) -> Iterator[np.ndarray]:
        """The expert for `after` control steps; then the hand lets go and leaves for `leaving` control steps.

        Only for worlds with "near_miss" among their `starts`.
        """
        raise NotImplementedError


Task: TypeAlias = TaskIn[Any]
