"""Builds the MuJoCo model: one arm attached twice, face to face, with a bar on the table between them."""

from pathlib import Path

import mujoco

ASSETS = Path(__file__).parent / "assets"
SIDES = ("left", "right")
ARM = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate")
FINGERS = ("left_finger", "right_finger")  # of each arm
BASE = {"left": -0.469, "right": 0.469}  # m: x of each arm's base


def build() -> mujoco.MjModel:
    """The compiled scene; everything of an arm has its side and "_" before its name."""
    scene = mujoco.MjSpec.from_file(str(ASSETS / "two_arms.xml"))
    for side in SIDES:
        arm = mujoco.MjSpec.from_file(str(ASSETS / "arm.xml"))
        frame = scene.body(f"{side}_stand").add_frame()
        scene.attach(arm, prefix=f"{side}_", frame=frame)
    return scene.compile()
