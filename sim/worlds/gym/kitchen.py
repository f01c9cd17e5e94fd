"""FrankaKitchen of gymnasium-robotics: its things as tasks, and scripted experts for three of them.

Actions are velocities of the joints. An expert says how the hand is to move; damped least squares make joints of it
(Wampler 1986), with the hand turned as it is at the beginning: ahead, with its fingers side by side.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from sim.worlds.gym.tasks import EpisodeTask

if TYPE_CHECKING:
    from sim.worlds.gym.world import GymWorld

NEAR_ENOUGH = 0.3  # of what the environment counts as done: rad, m
HAND, ARM, FASTEST = "end_effector", 7, 2.0  # site; joints; rad/s of a full deflection
GAIN, TURN, MOST = 15.0, 6.0, 0.5  # 1/s, 1/s, m/s
DAMPING = 0.05
SAG = np.array([0.0, 0.0, 0.07])  # m by which the arm hangs lower than its speeds would have it
BEFORE, INTO, PULL = np.array([[0.0, -0.15, 0.0], [0.0, 0.02, -0.02], [-0.05, -0.06, -0.03]])  # m from the handle
AHEAD = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])  # the hand's axes as columns of x, y, z
OPEN, CLOSED = 1.0, -1.0
HELD = 0.06  # m, opening below which something is between the fingers
PUSHED = 0.06  # m ahead of the hand, while it pushes


class Thing(EpisodeTask):
    """One thing of the kitchen is as the environment wants it."""

    def __init__(self, thing: str, phrasings: tuple[str, ...], other: str) -> None:
        super().__init__(thing.replace(" ", "_"), phrasings, other)
        self.thing = self.moved_body = thing

    def success(self, world: "GymWorld") -> bool:
        wanted, now = world.observed["desired_goal"][self.thing], world.observed["achieved_goal"][self.thing]
        return bool(np.linalg.norm(wanted - now) < NEAR_ENOUGH)


class Pushed(Thing):
    """A handle is pushed sideways: beside it -> in front -> along x."""

    def __init__(self, thing: str, phrasings: tuple[str, ...], other: str, site: str, way: float) -> None:
        super().__init__(thing, phrasings, other)
        self._site, self._way = site, way  # of the handle; 1 towards x, -1 away

    def expert(self, world: "GymWorld") -> Iterator[np.ndarray]:
        """Actions (9,), for as long as they are asked for."""
        while True:
            hand, handle = _place(world, HAND), _place(world, self._site)
            off = hand - handle
            beside = handle + np.array([-0.08 * self._way, -0.12, 0.0])
            if off[1] > -0.04 and off[0] * self._way < -0.02 and abs(off[2]) < 0.08:
                yield _move(world, np.array([hand[0] + PUSHED * self._way, handle[1], handle[2]]), CLOSED)
            elif np.linalg.norm((hand - beside)[[0, 2]]) < 0.06:
                yield _move(world, np.array([beside[0], handle[1] + 0.01, handle[2]]), CLOSED)
            else:
                yield _move(world, beside, CLOSED)


def _place(world: "GymWorld", site: str) -> np.ndarray:
    return np.array(world.scene[1].site(site).xpos)


def _move(world: "GymWorld", goal: np.ndarray, fingers: float) -> np.ndarray:
    """Velocities (9,), as shares of the fastest, that move the hand to a goal (3,) and keep it turned ahead."""
    model, data = world.scene
    site = data.site(HAND)
    way = (goal + SAG - site.xpos) * GAIN
    way *= min(1.0, MOST / max(float(np.linalg.norm(way)), 1e-9))
    turned = site.xmat.reshape(3, 3)
    turn = sum(np.cross(turned[:, i], AHEAD[:, i]) for i in range(3)) / 2 * TURN
    jacobian = np.zeros((6, model.nv))
    mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], site.id)
    arm = jacobian[:, :ARM]
    speeds = arm.T @ np.linalg.solve(arm @ arm.T + DAMPING**2 * np.eye(6), np.append(way, turn))
    return np.append(np.clip(speeds / FASTEST, -1, 1), [fingers, fingers])


class Pulled(Thing):
    """A handle is grasped, and its door pulled open: ahead of it -> forward, open -> close -> back and aside."""

    def __init__(self, thing: str, phrasings: tuple[str, ...], other: str, site: str) -> None:
        super().__init__(thing, phrasings, other)
        self._site = site

    def expert(self, world: "GymWorld") -> Iterator[np.ndarray]:
        """Actions (9,), for as long as they are asked for."""
        while True:
            handle = _place(world, self._site)
            off = _place(world, HAND) - handle
            opening = float(world.scene[1].qpos[ARM : ARM + 2].sum())
            aligned = abs(off[0]) < 0.035 and abs(off[2]) < 0.09
            if aligned and off[1] > -0.055 and opening < HELD:
                yield _move(world, handle + PULL, CLOSED)
            elif aligned:
                yield _move(world, handle + INTO, CLOSED if off[1] > -0.02 else OPEN)
            else:
                yield _move(world, handle + BEFORE, OPEN)


TASKS: dict[str, Thing] = {
    task.name: task
    for task in (
        Pulled(
            "microwave",
            ("open the microwave", "pull the microwave's door open", "microwave"),
            "unclose the oven on the counter",
            "microhandle_site",
        ),
        Pushed(
            "light switch",
            ("turn the light on", "switch on the light", "light switch"),
            "illuminate the hob",
            "light_site",
            -1.0,
        ),
        Pushed(
            "slide cabinet",
            ("open the slide cabinet", "slide the cabinet's door open", "slide cabinet"),
            "shift the cupboard's panel",
            "slide_site",
            1.0,
        ),
    )
}
