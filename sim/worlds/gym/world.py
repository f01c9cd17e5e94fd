"""An environment of Gymnasium as a world: one step of it is one control step, and its clock says 50 ms.

gym:<id>          pictures, and of the state what the robot itself measures
gym-states:<id>   all that is observed, and no pictures: trained in minutes on a CPU
"""

from contextlib import redirect_stderr
from functools import lru_cache
from io import StringIO
from typing import Any, ClassVar

import gymnasium
import mujoco
import numpy as np
import yaml
from gymnasium import spaces

from policy.errors import InputError
from policy.robot import contract as contracts
from policy.robot.contract import Contract
from policy.spec import Frame
from sim.worlds.gym.known import Known, known
from sim.worlds.gym.spaces import check, contract, limits, names
from sim.worlds.gym.views import Views
from sim.worlds.interface import STEP_NS, World

PICTURES, STATES = "gym:", "gym-states:"
SIZE, BLANK = 96, 8  # pixels on a side; of the picture that leads the frames where none is read, and counts them
STEPS = 1000  # of an episode, where the environment does not say
SCALE = 5.0  # of a disturbance in rad: shares of an action's range


class GymWorld(World):
    """The classes of `world_class` are of this one."""

    environment: ClassVar[str]
    known: ClassVar[Known]
    pictures: ClassVar[bool]
    robot: ClassVar[Contract]
    own: ClassVar[np.ndarray]  # places in the flattened observation
    range: ClassVar[np.ndarray]  # (2, A)
    starts = ("home",)
    evaluated_from = ("home",)
    success_steps = 5
    grace = 0
    tells_contact = False
    lag = 1
    joint_topics: ClassVar[dict[str, tuple[str, ...]]] = {}
    show_camera = "front"
    bounds = ((-np.inf, np.inf),) * 3

    def __init__(self) -> None:
        self._environment = _make(self.environment, self.known)
        # of MuJoCo's walkers an end is a fall, whatever its reward
        self._ends_in_falls = bool(getattr(self._environment.unwrapped, "_terminate_when_unhealthy", False))
        self._views = Views(self._environment, self.known.views)
        self.joints = []

    @classmethod
    def contract(cls) -> Contract:
        """As the spaces make it."""
        return cls.robot

    # -- time

    def reset(self, rng: np.random.Generator) -> None:
        """Reset the environment with a seed."""
        self.observed, _ = self._environment.reset(seed=int(rng.integers(2**31)))
        self.image_filter = None
        self._goal = self.home.copy()
        self._steps, self.done, self.ended = 0, self._success(), False
        self._best = 0.0  # reward of the episode

    def step(self, action: np.ndarray, disturbance: np.ndarray | None = None) -> None:
        """One step of the environment; nothing more happens after one that ends its episode."""
        self._goal = np.asarray(action, float)
        self._steps += 1
        if self.ended:
            return
        low, high = self.range
        goal = self._goal if disturbance is None else self._goal + disturbance * SCALE * (high - low) / 2
        space = self._environment.action_space
        taken = np.clip(goal, low, high).astype(space.dtype)
        self.observed, reward, self.ended, _, told = self._environment.step(taken)
        # a bonus for each step that it is alive comes with the step of a fall as well
        reached = self.ended and float(reward) > self._best and not self._ends_in_falls
        self._best = max(self._best, float(reward))
        self.done = bool(told.get("is_success", told.get("success", reached)))

    @property
    def time_ns(self) -> int:
        return self._steps * STEP_NS

    def setpoint(self) -> np.ndarray:
        return self._goal.copy()

    # -- observation

    def state(self) -> np.ndarray:
        flat = spaces.flatten(self._environment.observation_space, self.observed)
        measured = np.asarray(flat, np.float32)[self.own]
        return np.append(measured, self._goal).astype(np.float32) if self.robot.initial else measured

    def frame(self) -> Frame:
        if not self.pictures:
            images = {"front": np.full((BLANK, BLANK, 3), self._steps % 256, np.uint8)}
        else:
            images = {camera: self.filtered(self.render(camera, SIZE, SIZE)) for camera in self.robot.cameras}
        return Frame(self.time_ns, images, self.state())

    def render(self, camera: str, height: int, width: int) -> np.ndarray:
        return self._views.render(camera, height, width)

    def film(self, height: int, width: int) -> np.ndarray:
        return self._views.film(height, width)

    # -- ground truth

    @property
    def scene(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        """Of an environment that is MuJoCo's."""
        inner = self._environment.unwrapped
        return inner.model, inner.data  # type: ignore[attr-defined]

    @property
    def contact(self) -> bool:
        return False  # an environment does not say: `tells_contact`

    def touched(self, body: str) -> bool:
        return False

    def position(self, body: str) -> np.ndarray:
        raise NotImplementedError

    def fall_speed(self, body: str) -> float:
        return 0.0

    def _success(self) -> bool:
        """Where a goal may be reached before the first step, which only environments of goals know."""
        judge = getattr(self._environment.unwrapped, "_is_success", None)
        return judge is not None and bool(judge(self.observed["achieved_goal"], self.observed["desired_goal"]))

    def layout(self) -> np.ndarray:
        return np.asarray(spaces.flatten(self._environment.observation_space, self.observed))


def _make(environment: str, about: Known) -> gymnasium.Env[Any, Any]:
    """The environment, without a limit of its own; `InputError` where there is none."""
    try:
        with redirect_stderr(StringIO()):  # it prints notices of environments that nobody asked for
            import gymnasium_robotics  # type: ignore[import-untyped]
        gymnasium.register_envs(gymnasium_robotics)
        return gymnasium.make(
            environment, render_mode="rgb_array", max_episode_steps=-1, disable_env_checker=True, **about.options
        )
    except (gymnasium.error.Error, ModuleNotFoundError, TypeError) as error:
        raise InputError(
            f"the environment {environment} cannot be made: {' '.join(str(error).split())}; give an id that "
            "gymnasium.pprint_registry() lists, and install the package that it is from"
        ) from None


@lru_cache
def world_class(name: str) -> type[World]:
    """The class of the world `gym:<id>` or `gym-states:<id>`; the environment is made once to read its spaces."""
    pictures = name.startswith(PICTURES)
    environment = name.split(":", 1)[1]
    about = known(environment)
    made = _make(environment, about)
    check(made, environment)
    every = names(made)
    own = list(about.own) if pictures and about.own is not None else list(range(len(every)))
    state = list(about.names) if pictures and about.names else [every[i] for i in own]
    cameras = dict.fromkeys(about.views, SIZE) if pictures else {"front": BLANK}
    action = made.action_space
    assert isinstance(action, spaces.Box)
    content = contract(action, state, cameras)
    robot = contracts.build(content, name)
    steps = getattr(made.spec, "max_episode_steps", None) or gymnasium.spec(environment).max_episode_steps or STEPS
    made.close()
    low, high = limits(action)
    for task in about.tasks.values():
        task.steps = steps
    members = {
        "name": name,
        "contract_name": name,
        "environment": environment,
        "known": about,
        "pictures": pictures,
        "robot": robot,
        "contract_text": f"# Of the world {name}.\n" + yaml.safe_dump(content, sort_keys=False),
        "own": np.array(own),
        "range": np.stack([low, high]),
        "tasks": dict(about.tasks),
        "home": np.array(list(robot.initial.values()) or np.zeros(len(low))),
        "grippers": np.isin(np.arange(len(low)), about.undisturbed),
        "__doc__": f"The environment {environment} of Gymnasium.",
    }
    return type("GymWorldOf", (GymWorld,), members)
