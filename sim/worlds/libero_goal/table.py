"""The physics of LIBERO-Goal as a world: reset, step at 20 Hz, observe; a picture is rendered only on request."""

from typing import ClassVar

import mujoco
import numpy as np

from policy.robot import rotation
from policy.spec import Frame
from sim.worlds.cameras import Cameras
from sim.worlds.interface import JointReading, World
from sim.worlds.libero_goal.benchmark import SUITE, Benchmark
from sim.worlds.libero_goal.looks import fast, visible

SUBSTEPS = 25  # physics steps in a control step
SLICE = 5  # physics steps between two joint states: 100 Hz
SETTLING = 10  # control steps until the objects, which the sampler drops from 7 cm, lie still
OPEN = 0.08  # m, total opening of the gripper
OFFICIAL = "official"  # the start that is the benchmark's own
SIZE = 128  # pixels, both policy cameras
CAMERAS = {"front": "agentview", "wrist": "robot0_eye_in_hand"}
DOWN = np.array([0.5, 0.5, 0.0, 0.0]) * np.sqrt(2)  # x, y, z, w: the contract's reference
SCALE = np.array([0.05] * 3 + [0.5] * 3)  # m and rad: a full deflection of the benchmark's controller
GRIP_SITE, HAND = "gripper0_grip_site", "gripper0_right_gripper"
FINGERS = ("gripper0_finger_joint1", "gripper0_finger_joint2")
DISTURBED = np.array([0.4] * 3 + [1.0] * 3 + [0.0])  # of a disturbance in rad: metres, and not the gripper


class LiberoTable(World):
    """The scene of the benchmark with its robot and pose controller: the world without its tasks, which read it."""

    suite: ClassVar[str] = SUITE

    def __init__(self) -> None:
        self.benchmark = Benchmark(self.suite)
        self._take()

    def _take(self) -> None:
        """Find joints, fingers and what can be moved in the benchmark's environment."""
        self._env = self.benchmark.env
        self._robot = self._env.robots[0]
        self.model, self.data = self._env.sim.model._model, self._env.sim.data._data
        joints = [self.model.joint(name) for name in (*(f"robot0_joint{i}" for i in range(1, 8)), *FINGERS)]
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._dof = np.array([joint.dofadr[0] for joint in joints])
        self._sign = np.append(np.ones(8), -1.0)  # the second finger's position is negative
        names = [self.model.geom(i).name for i in range(self.model.ngeom)]
        self._finger = np.array([name.startswith("gripper0_finger") for name in names])
        bodies = [str(self.model.body(i).name) for i in range(self.model.nbody)]
        of = self.model.geom_bodyid
        root = self.model.body_rootid[of]
        objects = np.array([body in {f"{name}_main" for name in self._env.objects_dict} for body in bodies])
        drawers = np.array(["_cabinet_1_cabinet_" in body for body in bodies])
        buttons = np.array([body.endswith("_stove_1_button") for body in bodies])
        self._root = np.where(drawers[of], of, root)
        self._movable = objects[root] | drawers[of] | buttons[of]
        self._cameras = Cameras(self.model)
        self._touching = 0
        self.joints = []
        fast(self.model)

    # -- time

    def reset(self, rng: np.random.Generator) -> None:
        """Draw a layout by the benchmark's sampler, the hand at home and open, and wait until the objects lie still."""
        self.benchmark.reset(int(rng.integers(2**32)))
        self._settle()

    def begin(self, task: str, start: str, seed: int, rng: np.random.Generator) -> None:
        """The benchmark's own initial state, number `seed` modulo 50, of a task; `rng` draws where fixtures stand."""
        if start != OFFICIAL:
            raise ValueError(start)
        if not self.one_scene and self.benchmark.enter(task):
            self._cameras.close()
            self._take()
        self.benchmark.reset(int(rng.integers(2**32)))
        states = self.benchmark.initial_states(task)
        self._env.sim.set_state_from_flattened(states[seed % len(states)])
        self._env.sim.forward()
        self._settle()

    def _settle(self) -> None:
        self.image_filter = None
        self._robot.controller.update(force=True)
        self._robot.controller.reset_goal()
        self._robot.gripper.current_action = np.zeros(self._robot.gripper.dof)  # it survives a soft reset
        self._goal = np.append(self.pose, OPEN)
        for _ in range(SETTLING):
            self.step(self._goal)
        self.data.time = 0.0
        self._touching = 0
        self.joints = [self._read()]

    def step(self, action: np.ndarray, disturbance: np.ndarray | None = None) -> None:
        """Hold the goal (7,) of the hand for 0.05 s: position [m], rotation vector [rad], opening of the gripper [m].

        The benchmark's controller takes (goal - measured) / scale, at most 1; the gripper closes below half its
        opening. `disturbance` (7,) is added to the goal that it gets, scaled to metres and radians.
        """
        self._goal = np.asarray(action, float)
        goal = self._goal if disturbance is None else self._goal + disturbance * DISTURBED
        delta = self._deflection(goal)
        self.joints, touched = [], False
        for i in range(SUBSTEPS):  # as the benchmark does it, without its observables
            mujoco.mj_step1(self.model, self.data)
            self._env._pre_action(delta, i == 0)
            mujoco.mj_step2(self.model, self.data)
            if (i + 1) % SLICE == 0:
                touched |= self._touches(self._movable)
                self.joints.append(self._read())
        self._env._post_process()
        self._touching = self._touching + 1 if touched else 0

    def _deflection(self, goal: np.ndarray) -> np.ndarray:
        """What the benchmark's controller gets (7,) to move towards a goal (7,)."""
        wanted, now = rotation.quaternion(goal[3:6], DOWN), rotation.quaternion(self.pose[3:], DOWN)
        turn = rotation.multiply(wanted, rotation.conjugate(now))  # in the axes of the world
        way = np.append(goal[:3] - self.pose[:3], rotation.rotation_vector(turn, np.array([0.0, 0.0, 0.0, 1.0])))
        way = way / SCALE
        way[3:] /= max(1.0, float(np.abs(way[3:]).max()))  # about the same axis
        return np.append(np.clip(way, -1, 1), 1.0 if goal[6] < OPEN / 2 else -1.0)

    @property
    def time_ns(self) -> int:
        """The simulated clock [ns]."""
        return round(float(self.data.time) * 1e9)

    def setpoint(self) -> np.ndarray:
        """The goal (7,) in force."""
        return self._goal.copy()

    # -- observation

    def state(self) -> np.ndarray:
        """Proprioception (7,) float32: position [m], rotation vector [rad], opening [m]."""
        return np.append(self.pose, self.opening).astype(np.float32)

    def frame(self) -> Frame:
        """Both cameras and the state, now."""
        images = {name: self.filtered(self.render(name, SIZE, SIZE)) for name in CAMERAS}
        return Frame(self.time_ns, images, self.state())

    def render(self, camera: str, height: int, width: int) -> np.ndarray:
        """RGB uint8 (height, width, 3), upright; "show" is the front camera."""
        name = CAMERAS.get(camera, CAMERAS["front"])
        return self._cameras.render(self.data, name, height, width, visible(name))

    def film(self, height: int, width: int) -> np.ndarray:
        """From the front camera, antialiased and with shadows."""
        name = CAMERAS["front"]
        return self._cameras.film(self.data, name, height, width, visible(name))

    # -- ground truth: for success tests and experts, never for a policy

    @property
    def pose(self) -> np.ndarray:
        """Where the finger tips meet and how the hand is turned (6,): m, rad."""
        site, w_first = self.data.site(GRIP_SITE), np.zeros(4)
        mujoco.mju_mat2Quat(w_first, site.xmat)
        return np.append(site.xpos, rotation.rotation_vector(np.roll(w_first, -1), DOWN))

    @property
    def tcp(self) -> np.ndarray:
        """Where the finger tips meet, (3,) m."""
        return np.array(self.data.site(GRIP_SITE).xpos)

    @property
    def opening(self) -> float:
        """Total opening of the gripper [m]."""
        return float((self.data.qpos[self._qpos[7:]] * self._sign[7:]).sum())

    def position(self, body: str) -> np.ndarray:
        """Where a body is, (3,) m."""
        return np.array(self.data.body(body).xpos)

    def site(self, name: str) -> np.ndarray:
        """Where a site is, (3,) m."""
        return np.array(self.data.site(name).xpos)

    def geom(self, name: str) -> np.ndarray:
        """Where a geom is, (3,) m."""
        return np.array(self.data.geom(name).xpos)

    def upright(self, body: str) -> bool:
        """Whether a body stands as it stood at first."""
        return float(self.data.body(body).xmat[8]) > 0.95

    def joint(self, name: str) -> float:
        """Travel of a drawer [m] or of the stove's button [rad]."""
        return float(self.data.joint(name).qpos[0])

    def fall_speed(self, body: str) -> float:
        return -float(self.data.joint(body.replace("_main", "_joint0")).qvel[2])

    def layout(self) -> np.ndarray:
        return np.concatenate([self.data.qpos, self.model.body_pos.ravel(), self.model.body_quat.ravel()])

    @property
    def contact(self) -> bool:
        return self._touching >= 2

    def touched(self, body: str) -> bool:
        return self._touches(self._root == self.model.body(body).id)

    def done(self, task: str) -> bool:
        """Whether a task is done now, as the benchmark judges; False in the scene of another."""
        return (self.one_scene or self.benchmark.scene == task) and self.benchmark.done(task)

    def _touches(self, targets: np.ndarray) -> bool:
        first, second = self.data.contact.geom.T
        fingers, targets = self._finger, np.asarray(targets)
        return bool((fingers[first] & targets[second] | targets[first] & fingers[second]).any())

    def _read(self) -> JointReading:
        d, sign = self.data, self._sign
        return JointReading(
            self.time_ns, d.qpos[self._qpos] * sign, d.qvel[self._dof] * sign, d.qfrc_actuator[self._dof] * sign
        )
