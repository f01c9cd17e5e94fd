"""The physics of the table: reset, step at 20 Hz, observe; a picture is rendered only on request."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import mujoco
import numpy as np

from policy.spec import Frame
from sim.worlds.cameras import Cameras
from sim.worlds.interface import JointReading, World
from sim.worlds.tabletop import layout
from sim.worlds.tabletop.appearance import CAMERAS, SHIFTS, Appearance
from sim.worlds.tabletop.kinematics import Kinematics
from sim.worlds.tabletop.projection import project
from sim.worlds.tabletop.scene import ARM, FINGERS, build

SUBSTEPS = 25  # physics steps in a control step
SLICE = 5  # physics steps between two joint states: 100 Hz
OPEN = 0.08  # m, total opening of the gripper
SIZE = 96  # pixels, both policy cameras
PRESSED = -0.009  # m, travel of the button at which the lamp toggles
LAMP = {False: (0.16, 0.16, 0.18, 1.0), True: (1.0, 0.92, 0.25, 1.0)}


class Table(World):
    """One scene with its physics: the world without its tasks, which read it."""

    def __init__(self) -> None:
        self.model = build()
        self.data = mujoco.MjData(self.model)
        joint = [self.model.joint(n) for n in (*ARM, *FINGERS)]
        self._qpos = np.array([j.qposadr[0] for j in joint])
        self._dof = np.array([j.dofadr[0] for j in joint])
        self._low = self.model.actuator_ctrlrange[:, 0].copy()
        self._high = self.model.actuator_ctrlrange[:, 1].copy()
        finger_bodies = {self.model.body(f"panda0_{side}finger").id for side in ("left", "right")}
        movable = {"red", "green", "blue", "puck", "drawer", "slider", "button"}
        body = self.model.geom_bodyid
        self._finger = np.isin(body, list(finger_bodies))
        self._touching_pairs = self._pairs(np.isin(body, [self.model.body(b).id for b in movable]))
        self._button = self.model.joint("button").qposadr[0]
        self._cameras = Cameras(self.model)
        self._touching = 0
        self.look = Appearance(self.model, self.data)
        self.lamp = False
        self.joints: list[JointReading] = []
        self.notes: dict[str, Any] = {}  # what a task remembers of this episode
        self.watchers: list[Callable[[], None]] = []  # called after each control step of this episode

    # -- time

    def reset(self, rng: np.random.Generator) -> None:
        """Draw a layout of the table and put the arm near home, gripper open."""
        mujoco.mj_resetData(self.model, self.data)
        self.look.plain()
        self.image_filter = None
        self.notes, self.watchers = {}, []
        self._touching = 0
        self.set_lamp(layout.randomise(self.model, self.data, self._qpos, rng))
        self.data.ctrl[:] = self.data.qpos[self._qpos]
        mujoco.mj_forward(self.model, self.data)
        for _ in range(2 * SUBSTEPS):  # until the bodies have settled
            mujoco.mj_step(self.model, self.data)
        self.data.time = 0.0
        self._armed = True
        self.joints = [self._read()]

    def step(self, action: np.ndarray, disturbance: np.ndarray | None = None) -> None:
        """Hold set-points (8,) for 0.05 s: 7 joints [rad], total gripper opening [m].

        `disturbance` (8,) is added to what the actuators get; the recorded command does not show it.
        """
        target = np.asarray(action, float)
        if disturbance is not None:
            target = target + disturbance
        ctrl = np.concatenate([target[:7], np.repeat(target[7] / 2, 2)])
        self.data.ctrl[:] = np.clip(ctrl, self._low, self._high)
        self.joints = []
        touched = False  # at any time within the step: a pushed body bounces
        for _ in range(SUBSTEPS // SLICE):
            mujoco.mj_step(self.model, self.data, nstep=SLICE)
            touched |= self._touches(self._touching_pairs)
            self._toggle_lamp()
            self.joints.append(self._read())
        self._touching = self._touching + 1 if touched else 0
        for watch in self.watchers:
            watch()

    @property
    def time_ns(self) -> int:
        """The simulated clock [ns]."""
        return round(float(self.data.time) * 1e9)

    def setpoint(self) -> np.ndarray:
        """The set-points (A,) in force."""
        return self.joint_setpoint()

    def joint_setpoint(self) -> np.ndarray:
        """The set-points (8,) of the joints in force."""
        ctrl = self.data.ctrl
        return np.append(ctrl[:7], ctrl[7] + ctrl[8])

    def action(self, joints: np.ndarray) -> np.ndarray:
        """Set-points (8,) of the joints as an action (A,) float32 of this world."""
        return joints.astype(np.float32)

    # -- observation

    def state(self) -> np.ndarray:
        """Proprioception (8,) float32: joint positions [rad], total gripper opening [m]."""
        q = self.data.qpos[self._qpos]
        return np.append(q[:7], q[7] + q[8]).astype(np.float32)

    def frame(self) -> Frame:
        """Both cameras and the state, now."""
        images = {c: self.filtered(self.render(c, SIZE, SIZE)) for c in CAMERAS}
        return Frame(self.time_ns, images, self.state())

    def vary(self, rng: np.random.Generator) -> str:
        return self.look.vary(rng)

    def shift(self, name: str, rng: np.random.Generator) -> None:
        SHIFTS[name](self.look, rng)

    def render(self, camera: str, height: int, width: int) -> np.ndarray:
        """RGB uint8 (height, width, 3)."""
        return self._cameras.render(self.data, camera, height, width)

    def film(self, height: int, width: int) -> np.ndarray:
        """From the show camera, antialiased and with shadows."""
        return self._cameras.film(self.data, self.show_camera, height, width)

    def hand_path(self, camera: str, actions: np.ndarray) -> np.ndarray:
        """Where set-points (N, A) put the finger tips in a picture, (N, 2) as `projection.project`."""
        return project(self.model, self.data, camera, self.hand_points(actions))

    def hand_points(self, actions: np.ndarray) -> np.ndarray:
        """Where set-points (N, A) put the finger tips, (N, 3) m."""
        return np.array([self.kinematics.pose(action[:7])[:3] for action in actions]).reshape(-1, 3)

    # -- ground truth: for success tests and experts, never for a policy

    @cached_property
    def kinematics(self) -> Kinematics:
        """Of the arm, for experts and for commands that are poses."""
        return Kinematics()

    @property
    def tcp(self) -> np.ndarray:
        """Where the finger tips meet, (3,) m."""
        return np.array(self.data.site("tcp").xpos)

    def position(self, body: str) -> np.ndarray:
        """Where a body is, (3,) m."""
        return np.array(self.data.body(body).xpos)

    def geom_position(self, geom: str) -> np.ndarray:
        """Where a geom is, (3,) m."""
        return np.array(self.data.geom(geom).xpos)

    def fall_speed(self, body: str) -> float:
        return -float(self.data.joint(body).qvel[2])

    def layout(self) -> np.ndarray:
        return np.concatenate([self.data.qpos, self.model.body_pos.ravel(), [self.lamp]])

    def joint(self, name: str) -> float:
        """Travel of a sliding joint (drawer, slider, button) [m]."""
        return float(self.data.joint(name).qpos[0])

    @property
    def opening(self) -> float:
        """Total opening of the gripper [m]."""
        return float(self.data.qpos[self._qpos[7:]].sum())

    def move_joint(self, name: str, travel: float) -> None:
        """Put a sliding joint [m] where nothing touches it, before an episode begins."""
        self.data.joint(name).qpos[0] = travel
        mujoco.mj_forward(self.model, self.data)

    def move_block(self, name: str, point: np.ndarray) -> None:
        """Put a block square on a point (3,) [m] where nothing lies, before an episode begins."""
        self.data.joint(name).qpos[:] = [*point, 1, 0, 0, 0]
        self.data.joint(name).qvel[:] = 0
        mujoco.mj_forward(self.model, self.data)

    @property
    def contact(self) -> bool:
        """Whether a finger has touched a movable body for at least two control steps."""
        return self._touching >= 2

    def touched(self, body: str) -> bool:
        """Whether a finger touches this body now."""
        return self._touches(self._pairs(self.model.geom_bodyid == self.model.body(body).id))

    def set_lamp(self, on: bool) -> None:
        """Switch the lamp: the bulb, and the plate round the button, which the hand never hides."""
        self.lamp = on
        for geom in ("bulb", "plate"):
            self.model.geom_rgba[self.model.geom(geom).id] = LAMP[on]

    def _pairs(self, targets: np.ndarray) -> np.ndarray:
        """Which pairs of geoms (G, G) are a finger and a target; `targets` is a mask (G,)."""
        pairs = self._finger[:, None] & targets
        return np.asarray(pairs | pairs.T)

    def _touches(self, pairs: np.ndarray) -> bool:
        """Whether one of these pairs of geoms is in contact."""
        first, second = self.data.contact.geom.T
        return bool(pairs[first, second].any())

    def _toggle_lamp(self) -> None:
        depth = self.data.qpos[self._button]
        if self._armed and depth < PRESSED:
            self._armed = False
            self.set_lamp(not self.lamp)
        elif depth > PRESSED / 2:
            self._armed = True

    def _read(self) -> JointReading:
        d = self.data
        return JointReading(
            self.time_ns,
            d.qpos[self._qpos],
            d.qvel[self._dof],
            d.qfrc_actuator[self._dof],  # indexing copies
        )
