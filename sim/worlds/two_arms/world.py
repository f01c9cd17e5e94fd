"""Two arms at one table: reset, step at 20 Hz, observe; a picture is rendered only on request."""

from typing import ClassVar

import mujoco
import numpy as np

from policy.spec import Frame
from sim.worlds.cameras import Cameras
from sim.worlds.interface import JointReading, Task, World
from sim.worlds.two_arms.kinematics import solve
from sim.worlds.two_arms.lift import TASKS
from sim.worlds.two_arms.scene import ARM, FINGERS, SIDES, build

SUBSTEPS = 20  # physics steps in a control step
SLICE = 4  # physics steps between two joint states: 100 Hz
OPEN = 0.1  # m, twice a finger's distance
SIZE = 96  # pixels
POINTS = {"left": np.array([-0.2, 0.0, 0.14]), "right": np.array([0.2, 0.0, 0.14])}  # m, finger tips at home
BAR = ((-0.04, 0.04), (-0.08, 0.08), (-0.3, 0.3))  # m, m, rad: ranges of its x, y and yaw


class TwoArms(World):
    """State and action (14,): for the left, then the right arm, 6 joints [rad] and the opening of the gripper [m]."""

    name = contract_name = "two_arms"
    tasks: ClassVar[dict[str, Task]] = dict(TASKS)
    starts = ("home",)
    lag = 3
    home = np.concatenate([np.append(solve(side, POINTS[side], 0.0), OPEN) for side in SIDES])
    joint_topics: ClassVar[dict[str, tuple[str, ...]]] = {
        f"follower_{side}/joint_states": (*ARM, *FINGERS) for side in SIDES
    }
    grippers = np.tile([False] * len(ARM) + [True], 2)
    loose_bodies = ("bar",)
    bounds = ((-0.62, 0.62), (-0.4, 0.4), (-0.02, np.inf))  # the table's top

    def __init__(self) -> None:
        self.model = build()
        self.data = mujoco.MjData(self.model)
        joints = [self.model.joint(f"{side}_{name}") for side in SIDES for name in (*ARM, *FINGERS)]
        self._qpos, self._dof = (np.array([getattr(j, a)[0] for j in joints]) for a in ("qposadr", "dofadr"))
        self._sign = np.tile([*[1.0] * (len(ARM) + 1), -1.0], 2)  # the right finger's position is negative
        self._measured = np.concatenate([np.arange(len(ARM) + 1) + i * (len(ARM) + 2) for i in range(2)])
        self._scale = np.where(self.grippers, 2.0, 1.0)  # an opening is twice a finger's distance
        body, name = self.model.geom_bodyid, self.model.body
        self._fingers = {side: [body == name(f"{side}_{f}_link").id for f in FINGERS] for side in SIDES}
        self._cameras = Cameras(self.model)
        self._touching = 0
        self.joints = []

    # -- time

    def reset(self, rng: np.random.Generator) -> None:
        """Lay the bar on the table and put both arms near home, the hands open."""
        mujoco.mj_resetData(self.model, self.data)
        self.image_filter, self._touching = None, 0
        x, y, yaw = (rng.uniform(*span) for span in BAR)
        self.data.joint("bar").qpos[:] = [x, y, 0.02, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]
        joints = self.home + np.where(self.grippers, 0.0, rng.uniform(-0.04, 0.04, len(self.home)))
        self.data.ctrl[:] = joints / self._scale
        fingers = (joints / self._scale).reshape(2, -1)
        self.data.qpos[self._qpos] = np.concatenate([fingers, fingers[:, -1:]], axis=1).ravel()
        mujoco.mj_forward(self.model, self.data)
        mujoco.mj_step(self.model, self.data, nstep=2 * SUBSTEPS)  # until the bar has settled
        self.data.time = 0.0
        self.joints = [self._read()]

    def step(self, action: np.ndarray, disturbance: np.ndarray | None = None) -> None:
        """Hold set-points (14,) for 0.05 s; `disturbance` (14,) is added to what the actuators get."""
        target = np.asarray(action, float) + (0.0 if disturbance is None else disturbance)
        self.data.ctrl[:] = np.clip(target / self._scale, *self.model.actuator_ctrlrange.T)
        self.joints, touched = [], False
        for _ in range(SUBSTEPS // SLICE):
            mujoco.mj_step(self.model, self.data, nstep=SLICE)
            touched |= self.touched("bar")
            self.joints.append(self._read())
        self._touching = self._touching + 1 if touched else 0

    @property
    def time_ns(self) -> int:
        return round(float(self.data.time) * 1e9)

    def setpoint(self) -> np.ndarray:
        return np.asarray(self.data.ctrl * self._scale)

    # -- observation

    def state(self) -> np.ndarray:
        return np.asarray(self.data.qpos[self._qpos[self._measured]] * self._scale, np.float32)

    def frame(self) -> Frame:
        cameras = self.contract().cameras
        return Frame(self.time_ns, {c: self.filtered(self.render(c, SIZE, SIZE)) for c in cameras}, self.state())

    def render(self, camera: str, height: int, width: int) -> np.ndarray:
        return self._cameras.render(self.data, camera, height, width)

    def film(self, height: int, width: int) -> np.ndarray:
        """From the show camera, antialiased and with shadows."""
        return self._cameras.film(self.data, self.show_camera, height, width)

    # -- ground truth

    @property
    def contact(self) -> bool:
        return self._touching >= 2

    def touched(self, body: str) -> bool:
        return any(any(self._touching_fingers(side, body)) for side in SIDES)

    def holds(self, side: str, body: str) -> bool:
        """Whether both fingers of this arm touch a body now."""
        return all(self._touching_fingers(side, body))

    def _touching_fingers(self, side: str, body: str) -> list[bool]:
        first, second = self.data.contact.geom.T
        target = self.model.geom_bodyid == self.model.body(body).id
        return [bool((f[first] & target[second] | target[first] & f[second]).any()) for f in self._fingers[side]]

    def position(self, body: str) -> np.ndarray:
        return np.array(self.data.body(body).xpos)

    def tip(self, side: str) -> np.ndarray:
        """Where the finger tips of an arm meet, (3,) m."""
        return np.array(self.data.site(f"{side}_tip").xpos)

    def end(self, side: str) -> np.ndarray:
        """The middle of the bar's end on this side, (3,) m."""
        return np.array(self.data.geom(f"{side}_end").xpos)

    @property
    def yaw(self) -> float:
        """How far the bar is turned about the vertical [rad]."""
        x, y = (self.end("right") - self.end("left"))[:2]
        return float(np.arctan2(y, x))

    def fall_speed(self, body: str) -> float:
        return -float(self.data.joint(body).qvel[2])

    def layout(self) -> np.ndarray:
        return np.array(self.data.qpos)

    def _read(self) -> JointReading:
        d, sign = self.data, self._sign
        return JointReading(
            self.time_ns, d.qpos[self._qpos] * sign, d.qvel[self._dof] * sign, d.qfrc_actuator[self._dof] * sign
        )
