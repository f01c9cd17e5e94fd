"""Touch a block with the closed gripper, and stay there.

The expert reads the true state, and sets a goal a short lead ahead of where the tip *is*: first above the block, then
down to it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from sim.worlds.desk_arm.kinematics import solve
from sim.worlds.interface import TaskIn

if TYPE_CHECKING:
    from sim.worlds.desk_arm.world import DeskArm

CLOSED = 0.0  # rad, of the gripper
TOP = 0.032  # m, of a block
ABOVE, ALONG = 0.05, 0.03  # m over a block where the hand lines up, and how near it must be beside
LEAD = 0.05  # m ahead of the tip
STEP = 0.06  # rad, the most that set-points move in a control step
NEAR = 0.006  # m: the expert ends within a tenth of a millimetre; a hand that hovers does not touch
STAY = 20  # control steps at the block


class Touch(TaskIn["DeskArm"]):
    """The tip is at the top of the block."""

    kind = "touch"
    steps = 100

    def __init__(self, block: str) -> None:
        self.name, self.moved_body = f"touch_{block}", block
        self.phrasings = tuple(text.format(block) for text in PHRASINGS)
        self.reworded = (f"go and touch the {block} block", f"please put the finger on the {block} block")
        self.new_words = (f"poke the {block} cube", f"tap the {block} thing")

    def possible(self, world: "DeskArm") -> bool:
        return not self.success(world)

    def success(self, world: "DeskArm") -> bool:
        return bool(np.linalg.norm(world.top(self.moved_body) - world.position("tip")) < NEAR)

    def expert(self, world: "DeskArm") -> Iterator[np.ndarray]:
        """Set-points (6,) float32; steps are within the velocity limits."""
        last, stays = world.setpoint(), 0
        while stays < STAY:
            stays = stays + 1 if self.success(world) else 0
            tip, goal = world.position("tip"), world.top(self.moved_body)
            if np.linalg.norm((goal - tip)[:2]) > ALONG:
                goal[2] += ABOVE
            way = goal - tip
            ahead = tip + way * min(1.0, LEAD / max(float(np.linalg.norm(way)), 1e-9))
            last = last + np.clip(solve(ahead, CLOSED) - last, -STEP, STEP)
            yield last.astype(np.float32)


PHRASINGS = (
    "touch the {} block",
    "touch the {} one",
    "put the finger on the {} block",
    "go to the {} block",
    "reach for the {} block",
    "please touch the {} block",
    "move the hand to the {} block",
    "the {} block",
)
TASKS = {task.name: task for task in (Touch("red"), Touch("blue"))}
