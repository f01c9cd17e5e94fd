"""Scripted experts of the Fetch tasks of gymnasium-robotics.

push:   over the side of the block that is away from the goal -> down -> towards the goal, behind the block
pick:   over the block, open -> down -> close -> to the goal
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from sim.worlds.gym.tasks import EpisodeTask

if TYPE_CHECKING:
    from sim.worlds.gym.world import GymWorld

GAIN = 12.0  # deflection for a metre
ABOVE = 0.06  # m over the block for the way
BEHIND = 0.075  # m from the block's middle, where the push begins
ASIDE = 0.02  # m that the hand may be off the line behind the block
NEAR, HELD = 0.015, 0.06  # m; and the sum of both fingers' ways below which the block is held


def _seen(world: "GymWorld") -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Where hand, block and goal are (3,), and how far the fingers are open."""
    observed = world.observed["observation"]
    return observed[:3], observed[3:6], world.observed["desired_goal"], float(observed[9:11].sum())


def _towards(hand: np.ndarray, goal: np.ndarray, fingers: float) -> np.ndarray:
    """The action (4,) that moves the hand to a goal."""
    return np.asarray(np.clip(np.append((goal - hand) * GAIN, fingers), -1, 1))


class Push(EpisodeTask):
    """The block is at the goal on the table."""

    def expert(self, world: "GymWorld") -> Iterator[np.ndarray]:
        """Actions (4,), for as long as they are asked for."""
        while True:
            hand, block, goal, _ = _seen(world)
            way = (goal - block)[:2]
            distance = float(np.linalg.norm(way))
            way = way / max(distance, 1e-6)
            behind = np.append(block[:2] - BEHIND * way, block[2])
            off = (hand - block)[:2]
            beside = abs(off[0] * way[1] - off[1] * way[0])
            if distance < NEAR:
                yield _towards(hand, hand, -1)  # stay
            elif beside > ASIDE or off @ way > 0:  # over the block to its other side
                height = (hand[2] - block[2]) / ABOVE
                high = np.append(behind[:2], block[2] + ABOVE)
                action = _towards(hand, high, -1)
                action[:2] *= np.clip(2 * height - 0.5, 0, 1)  # first up, then sideways
                yield action
            elif hand[2] > block[2] + NEAR:
                yield _towards(hand, behind, -1)
            else:
                lead = min(distance, 0.05)  # m ahead, so that it slows down at the goal
                yield _towards(hand, np.append(block[:2] + (lead - BEHIND + 0.02) * way, block[2]), -1)


class PickAndPlace(EpisodeTask):
    """The block is at the goal, on the table or in the air."""

    def expert(self, world: "GymWorld") -> Iterator[np.ndarray]:
        """Actions (4,), for as long as they are asked for."""
        while True:
            hand, block, goal, opening = _seen(world)
            at = np.linalg.norm((hand - block)[:2])
            grasped = at < NEAR and abs(hand[2] - block[2]) < NEAR
            if grasped and opening < HELD:
                yield _towards(hand, hand + goal - block, -1)
            elif grasped:
                yield _towards(hand, block, -1)
            elif at < NEAR:
                yield _towards(hand, block, 1)
            else:
                yield _towards(hand, np.append(block[:2], max(block[2] + ABOVE, min(hand[2], block[2] + 2 * ABOVE))), 1)


FETCH_PUSH = Push(
    "push_block",
    ("push the block to the goal", "move the block to the red dot", "slide the block to the goal"),
    "shove the cube onto the mark",
)
FETCH_PICK = PickAndPlace(
    "place_block",
    ("pick the block up and place it at the goal", "bring the block to the red dot", "carry the block to the goal"),
    "take the cube onto the mark",
)
