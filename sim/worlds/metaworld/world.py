"""Meta-World as a world: its hand is moved by goals at 20 Hz, each of them held for four steps of the benchmark."""

from typing import ClassVar

import mujoco
import numpy as np

from policy.spec import Frame
from sim.worlds.interface import STEP_NS, JointReading, Task, World
from sim.worlds.metaworld.benchmark import Scenes
from sim.worlds.metaworld.tasks import TASKS

SUBSTEPS = 4  # steps of the benchmark in a control step
REACH = 0.01  # m: a full deflection of the benchmark's action in one of its steps
WIDE = 0.1  # m, opening of the gripper
SIZE = 96  # pixels
STATE = mujoco.mjtState.mjSTATE_INTEGRATION
DISTURBED = np.array([0.4, 0.4, 0.4, 0.0])  # of a disturbance in rad: metres, and not the gripper
NAMES = ("hand_x", "hand_y", "hand_z", "gripper")
MT10 = (
    "reach",
    "push",
    "pick-place",
    "door-open",
    "drawer-open",
    "drawer-close",
    "button-press-topdown",
    "peg-insert-side",
    "window-open",
    "window-close",
)
# Those of "BAKU: An Efficient Transformer for Multi-Task Policy Learning" (Haldar et al. 2024), from its configuration.
BAKU30 = (
    *("basketball", "bin-picking", "button-press", "button-press-topdown", "button-press-topdown-wall"),
    *("button-press-wall", "coffee-button", "coffee-pull", "coffee-push", "dial-turn", "disassemble", "door-lock"),
    *("door-open", "door-unlock", "drawer-close", "drawer-open", "faucet-close", "faucet-open", "hammer"),
    *("handle-press", "handle-press-side", "handle-pull", "handle-pull-side", "shelf-place", "soccer", "stick-push"),
    *("sweep", "sweep-into", "window-close", "window-open"),
)


class MetaWorld(World):
    """State and action (4,): where the hand is and is to be [m], and the opening of its fingers [m]."""

    name = contract_name = "metaworld"
    tasks: ClassVar[dict[str, Task]] = dict(TASKS)
    suites: ClassVar[dict[str, dict[str, Task]]] = {
        "mt10": {name: TASKS[name] for name in MT10},
        "baku30": {name: TASKS[name] for name in BAKU30},
    }
    one_scene = False
    starts = ("home",)
    evaluated_from = ("home",)
    success_steps = 1  # as the benchmark has it
    grace = 0
    lag = 2
    home = np.array([0.0, 0.6, 0.2, WIDE])
    joint_topics: ClassVar[dict[str, tuple[str, ...]]] = {"joint_states": NAMES}
    grippers = np.arange(4) == 3
    bounds = ((-0.6, 0.6), (0.3, 1.1), (-0.2, np.inf))

    def __init__(self) -> None:
        self._scenes = Scenes()
        self.joints = []

    # -- time

    def reset(self, rng: np.random.Generator) -> None:
        """Draw one of the scenes, and a layout of it."""
        self.reset_to(list(self.tasks)[rng.integers(len(self.tasks))], rng)

    def reset_to(self, task: str, rng: np.random.Generator) -> None:
        """Draw a layout of a task's scene, by the benchmark's own sampler."""
        self.scene_name, self._scene = task, self._scenes[task]
        self._env, self._model, self._data = self._scene.env, self._scene.model, self._scene.data
        self.image_filter = None
        self._observed = self._scene.reset(int(rng.integers(2**32)))
        self._buffer = np.empty(mujoco.mj_stateSize(self._model, STATE))
        self._goal = np.append(self._env.data.mocap_pos[0], WIDE)
        self._steps, self._touching, self.done = 0, 0, False
        self._before = self._hand()
        self.joints = [self._read(0)]

    def step(self, action: np.ndarray, disturbance: np.ndarray | None = None) -> None:
        """Move the hand to a goal (4,) within 0.05 s; what is too far is moved towards, 1 cm in each of four steps."""
        self._goal = np.asarray(action, float)
        goal = self._goal if disturbance is None else self._goal + disturbance * DISTURBED
        self.joints, touched, self.done = [], False, False
        self._env.curr_path_length = 0  # our tasks end by their own time
        for left in range(SUBSTEPS, 0, -1):
            way = (goal[:3] - self._data.mocap_pos[0]) / left / REACH
            effort = 1 - 2 * goal[3] / WIDE
            self._observed, _, _, _, told = self._env.step(np.clip(np.append(way, effort), -1, 1).astype(np.float32))
            self.done |= bool(told["success"])
            touched |= self._scene.touches()
            self.joints.append(self._read(SUBSTEPS - left + 1))
        self._steps += 1
        self._touching = self._touching + 1 if touched else 0

    @property
    def time_ns(self) -> int:
        return self._steps * STEP_NS

    def setpoint(self) -> np.ndarray:
        return self._goal.copy()

    # -- observation

    def state(self) -> np.ndarray:
        return self._hand().astype(np.float32)

    def frame(self) -> Frame:
        cameras = self.contract().cameras
        return Frame(self.time_ns, {c: self.filtered(self.render(c, SIZE, SIZE)) for c in cameras}, self.state())

    def render(self, camera: str, height: int, width: int) -> np.ndarray:
        return self._scene.render(height, width)

    def film(self, height: int, width: int) -> np.ndarray:
        """Antialiased and with shadows."""
        return self._scene.film(height, width)

    # -- ground truth

    def demonstrated(self) -> np.ndarray:
        """Where the benchmark's expert moves the hand within a control step, and how wide it opens it (4,).

        It is tried, and everything is put back.
        """
        env, observed, efforts = self._env, self._observed, []
        mujoco.mj_getState(self._model, self._data, self._buffer, STATE)
        before = env._prev_obs.copy()
        for _ in range(SUBSTEPS):
            action = np.clip(self._scene.act(observed.copy()), -1, 1)  # some experts write into what they observe
            efforts.append(action[3])
            env.set_xyz_action(action[:3])
            env.do_simulation([action[3], -action[3]], env.frame_skip)
            mujoco.mj_forward(self._model, self._data)
            observed = env._get_obs()
        goal = np.append(self._data.mocap_pos[0], (1 - np.mean(efforts)) * WIDE / 2)
        mujoco.mj_setState(self._model, self._data, self._buffer, STATE)
        mujoco.mj_forward(self._model, self._data)
        env._prev_obs = before
        return goal

    @property
    def contact(self) -> bool:
        return self._touching >= 2

    def touched(self, body: str) -> bool:
        """Of whatever moves in the scene."""
        return self._scene.touches()

    def position(self, body: str) -> np.ndarray:
        """Of the main object, whatever the scene has."""
        return np.array(self._env._get_pos_objects()[:3])

    def fall_speed(self, body: str) -> float:
        return 0.0  # no body is said to be loose

    def layout(self) -> np.ndarray:
        places = (self._model.body_pos.ravel(), self._model.site_pos.ravel(), self._env._target_pos)
        return np.concatenate([self._data.qpos, *places])

    def _hand(self) -> np.ndarray:
        observed = np.asarray(self._env._get_curr_obs_combined_no_goal()[:4])
        return np.append(observed[:3], observed[3] * WIDE)

    def _read(self, substep: int) -> JointReading:
        """The hand as four joints; its speed is a difference, and forces are not measured."""
        now = self._hand()
        speed = (now - self._before) * SUBSTEPS / (STEP_NS * 1e-9)
        self._before = now
        stamp = self.time_ns + substep * STEP_NS // SUBSTEPS
        return JointReading(stamp, now, speed, np.zeros(len(now)))
