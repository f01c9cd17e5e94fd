"""Random layouts of the table: where everything lies when an episode begins at home."""

import mujoco
import numpy as np

from sim.worlds.tabletop.scene import BLOCKS

# Fixtures: (x, y) in metres, and the range of their random offset each way.
FIXTURES = {
    "bowl": ((0.56, 0.33), 0.02),
    "cabinet": ((0.64, -0.295), 0.015),
    "rail": ((0.74, 0.06), 0.01),
    "lamp": ((0.38, 0.32), 0.015),
}
BLOCK_AREA = ((0.37, 0.60), (-0.125, 0.06))  # x, y ranges
LANE = 0.15  # y of the puck's lane
ZONES = {"black": 0.37, "white": 0.62}  # x of the zones' centres
HOME = np.array([0.0, -0.312, 0.0, -2.503, 0.0, 0.621, 0.0])  # finger tips at (0.43, 0, 0.26)
DRAWER_OPEN, SLIDER_END = 0.12, 0.10  # m of travel


def randomise(m: mujoco.MjModel, d: mujoco.MjData, joints: np.ndarray, rng: np.random.Generator) -> bool:
    """Write a random layout into model and data, the arm near home; returns whether the lamp is lit.

    `joints` (9,): indices of the arm and the fingers in qpos.
    """
    for name, (centre, spread) in FIXTURES.items():
        m.body(name).pos[:2] = np.asarray(centre) + rng.uniform(-spread, spread, 2)
    for name, xy in zip(BLOCKS, _apart(rng), strict=True):
        _put(d, name, xy, 0.02, rng.uniform(-0.25, 0.25))
    x = rng.choice(
        [rng.uniform(0.44, 0.55), ZONES["black"] + rng.uniform(-0.02, 0.02), ZONES["white"] + rng.uniform(-0.02, 0.02)]
    )
    _put(d, "puck", np.array([x, LANE + rng.uniform(-0.015, 0.015)]), 0.0181, 0.0)
    d.joint("drawer").qpos[0] = rng.choice([rng.uniform(0, 0.004), DRAWER_OPEN - rng.uniform(0, 0.02)])
    d.joint("slider").qpos[0] = rng.uniform(-SLIDER_END, SLIDER_END)
    lamp = bool(rng.random() < 0.5)
    q = HOME + rng.uniform(-0.06, 0.06, 7)
    d.qpos[joints] = np.concatenate([q, [0.04, 0.04]])
    return lamp


def _apart(rng: np.random.Generator) -> np.ndarray:
    """Positions of three blocks (3, 2) [m] that leave room for open fingers, which open along y."""
    (x0, x1), (y0, y1) = BLOCK_AREA
    while True:
        xy = rng.uniform((x0, y0), (x1, y1), (3, 2))
        gap = np.abs(xy[:, None] - xy[None])[np.triu_indices(3, 1)]
        if np.all((gap[:, 0] > 0.065) | (gap[:, 1] > 0.09)):
            return xy


def _put(d: mujoco.MjData, name: str, xy: np.ndarray, z: float, yaw: float) -> None:
    d.joint(name).qpos[:] = [*xy, z, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]
