"""A small arm on a desk: reset, step at 20 Hz, observe; a picture is rendered only on request."""

from pathlib import Path
from typing import ClassVar

import mujoco
import numpy as np

from policy.spec import Frame
from sim.worlds.cameras import Cameras
from sim.worlds.desk_arm.kinematics import ARM, solve
from sim.worlds.desk_arm.touch import CLOSED, TASKS, TOP
from sim.worlds.interface import JointReading, Task, World

SCENE = Path(__file__).parent / "assets" / "desk_arm.xml"
SUBSTEPS = 20  # physics steps in a control step
SLICE = 4  # physics steps between two joint states: 100 Hz
SIZE = 96  # pixels
RADIUS, SECTOR, APART = (0.15, 0.23), 0.7, 0.06  # m, rad, m: where blocks lie, and how far from each other
FINGERS = ("fixed_finger", "jaw")


class DeskArm(World):
    """State and action (6,): five joints and the jaw [rad]."""

    name = contract_name = "desk_arm"
    tasks: ClassVar[dict[str, Task]] = dict(TASKS)
    starts = ("home",)
    lag = 3
    home = solve(np.array([0.17, 0.0, 0.13]), CLOSED)
    joint_topics: ClassVar[dict[str, tuple[str, ...]]] = {"follower/joint_states": ARM}
    grippers = np.array([name == "gripper" for name in ARM])
    loose_bodies = ("red", "blue")
    bounds = ((-0.25, 0.45), (-0.35, 0.35), (-0.02, np.inf))  # the desk's top

    def __init__(self) -> None:
        self.model = mujoco.MjModel.from_xml_path(str(SCENE))
        self.data = mujoco.MjData(self.model)
        joints = [self.model.joint(name) for name in ARM]
        self._qpos, self._dof = (np.array([getattr(j, a)[0] for j in joints]) for a in ("qposadr", "dofadr"))
        self._fingers = [self.model.geom(name).id for name in FINGERS]
        self._cameras = Cameras(self.model)
        self._touching = 0
        self.joints = []

    # -- time

    def reset(self, rng: np.random.Generator) -> None:
        """Lay the blocks on the desk and put the arm near home."""
        mujoco.mj_resetData(self.model, self.data)
        self.image_filter, self._touching = None, 0
        places: list[np.ndarray] = []
        while len(places) < len(self.loose_bodies):
            radius, angle = rng.uniform(*RADIUS), rng.uniform(-SECTOR, SECTOR)
            place = radius * np.array([np.cos(angle), np.sin(angle)])
            if all(np.linalg.norm(place - other) > APART for other in places):
                places.append(place)
        for body, place in zip(self.loose_bodies, places, strict=True):
            yaw = rng.uniform(-0.7, 0.7)
            self.data.joint(body).qpos[:] = [*place, TOP / 2, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]
        joints = self.home + np.where(self.grippers, 0.0, rng.uniform(-0.1, 0.1, len(self.home)))
        self.data.ctrl[:] = self.data.qpos[self._qpos] = joints
        mujoco.mj_step(self.model, self.data, nstep=2 * SUBSTEPS)  # until the blocks have settled
        self.data.time = 0.0
        self.joints = [self._read()]

    def step(self, action: np.ndarray, disturbance: np.ndarray | None = None) -> None:
        """Hold set-points (6,) for 0.05 s; `disturbance` (6,) is added to what the actuators get."""
        target = np.asarray(action, float) + (0.0 if disturbance is None else disturbance)
        self.data.ctrl[:] = np.clip(target, *self.model.actuator_ctrlrange.T)
        self.joints, touched = [], False
        for _ in range(SUBSTEPS // SLICE):
            mujoco.mj_step(self.model, self.data, nstep=SLICE)
            touched |= any(self.touched(body) for body in self.loose_bodies)
            self.joints.append(self._read())
        self._touching = self._touching + 1 if touched else 0

    @property
    def time_ns(self) -> int:
        return round(float(self.data.time) * 1e9)

    def setpoint(self) -> np.ndarray:
        return np.array(self.data.ctrl)

    # -- observation

    def state(self) -> np.ndarray:
        return np.asarray(self.data.qpos[self._qpos], np.float32)

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
        first, second = self.data.contact.geom.T
        block = self.model.geom(body).id
        fingers = np.isin(first, self._fingers) & (second == block) | np.isin(second, self._fingers) & (first == block)
        return bool(fingers.any())

    def position(self, body: str) -> np.ndarray:
        return np.array(self.data.site("tip").xpos if body == "tip" else self.data.body(body).xpos)

    def top(self, block: str) -> np.ndarray:
        """The middle of a block's upper side, (3,) m."""
        return np.asarray(self.position(block) + np.array([0.0, 0.0, TOP / 2]))

    def fall_speed(self, body: str) -> float:
        return -float(self.data.joint(body).qvel[2])

    def layout(self) -> np.ndarray:
        return np.array(self.data.qpos)

    def _read(self) -> JointReading:
        d = self.data
        return JointReading(self.time_ns, d.qpos[self._qpos], d.qvel[self._dof], d.qfrc_actuator[self._dof])
