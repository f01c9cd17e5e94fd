"""Builds the MuJoCo model: the Franka of gymnasium-robotics at a table with the objects of all tasks."""

import importlib.util
from pathlib import Path

import mujoco
import numpy as np

from sim.worlds.tabletop.clutter import add_clutter
from sim.worlds.tabletop.textures import add_textures

ARM = tuple(f"robot:panda0_joint{i}" for i in range(1, 8))
FINGERS = ("robot:panda0_finger_joint1", "robot:panda0_finger_joint2")
BLOCKS = ("red", "green", "blue")
ASSETS = Path(__file__).parent / "assets"


def franka_folder() -> Path:
    """Where the installed gymnasium-robotics keeps its Franka; found without importing it."""
    package = importlib.util.find_spec("gymnasium_robotics")
    assert package is not None and package.origin is not None
    return Path(package.origin).parent / "envs/assets/kitchen_franka/franka_assets"


def build() -> mujoco.MjModel:
    """The compiled scene."""
    xml = (ASSETS / "tabletop.xml").read_text().replace("{franka}", str(franka_folder()))
    spec = mujoco.MjSpec.from_string(xml)
    _adapt_robot(spec)
    _add_bowl_wall(spec.body("bowl"))
    add_textures(spec)
    add_clutter(spec)
    return spec.compile()


def build_robot() -> mujoco.MjModel:
    """The arm alone, for kinematics."""
    folder = franka_folder()
    spec = mujoco.MjSpec.from_string(
        f'<mujoco><include file="{folder}/assets.xml"/><compiler meshdir="{folder}/meshes"/>'
        f'<worldbody><include file="{folder}/chain.xml"/></worldbody></mujoco>'
    )
    _adapt_robot(spec)
    return spec.compile()


def _adapt_robot(spec: mujoco.MjSpec) -> None:
    """Add gravity compensation, the wrist camera and a tool point; draw the collision meshes, not the visual ones.

    With 2.5 k faces in place of 134 k, software rendering is fast.
    """
    for body in spec.bodies:
        if body.name.startswith("panda0"):
            body.gravcomp = 1  # as the real arm's controller does
            for geom in list(body.geoms):
                if geom.classname.name == "panda_viz":
                    spec.delete(geom)
                    continue
                geom.group = 0
                finger = "finger" in body.name
                geom.rgba = [0.25, 0.26, 0.28, 1] if finger else [0.88, 0.89, 0.91, 1]
                if geom.meshname and geom.meshname != "hand_col":
                    geom.contype = geom.conaffinity = 0  # links never reach the table in our workspace
                elif not finger:
                    geom.contype, geom.conaffinity = 1, 0
    for mesh in list(spec.meshes):
        if mesh.name.endswith("_viz"):
            spec.delete(mesh)
    for i in (5, 6, 7):  # the same lag (damping / stiffness) in all joints, so that short moves are straight
        spec.joint(f"robot:panda0_joint{i}").damping = [100 / 870 * 120, 0, 0]
    hand = spec.body("panda0_link7")
    tip = [np.cos(np.pi / 8), 0.0, 0.0, -np.sin(np.pi / 8)]  # the hand is mounted at -45 degrees
    hand.add_site(name="tcp", pos=[0, 0, 0.250], quat=tip, size=[0.003, 0.003, 0.003], group=4)
    c = np.cos(np.pi / 4) * 0.075
    look = np.array([0.0, 1.0, 0.0, 0.0])  # a camera looks along -z; the hand points along +z
    quat = np.zeros(4)
    mujoco.mju_mulQuat(quat, np.array(tip), look)
    tilt, tilted = np.array([np.cos(0.18), np.sin(0.18), 0, 0]), np.zeros(4)
    turned = np.zeros(4)
    mujoco.mju_mulQuat(turned, quat, np.array([np.cos(np.pi / 4), 0, 0, np.sin(np.pi / 4)]))
    mujoco.mju_mulQuat(tilted, turned, tilt)
    hand.add_camera(name="wrist", pos=[c, c * -1.0, 0.12], quat=tilted, fovy=75)


def _add_bowl_wall(bowl: "mujoco.MjsBody", sides: int = 12, radius: float = 0.078, height: float = 0.018) -> None:
    for angle in np.arange(sides) * 2 * np.pi / sides:
        bowl.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[0.004, radius * np.tan(np.pi / sides) + 0.001, height],
            pos=[radius * np.cos(angle), radius * np.sin(angle), height],
            quat=[np.cos(angle / 2), 0, 0, np.sin(angle / 2)],
            contype=1,
            conaffinity=1,
            rgba=[0.16, 0.52, 0.60, 1],
        )
