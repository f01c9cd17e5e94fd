"""What tasks with blocks share: where a block can be grasped, and how."""

import numpy as np

from sim.worlds.tabletop.scene import BLOCKS
from sim.worlds.tabletop.table import OPEN, Table
from sim.worlds.tabletop.tasks.motions import CLOSED, Motion, grip, reach


def clear(world: Table, body: str) -> bool:
    """Whether nothing lies on this block."""
    own = world.position(body)
    others = [world.position(b) for b in (*BLOCKS, "puck") if b != body]
    return not any(np.linalg.norm(o[:2] - own[:2]) < 0.035 and o[2] > own[2] + 0.015 for o in others)


def on_table(world: Table, body: str) -> bool:
    """Whether the block lies on the table, upright, within reach, with room for open fingers beside it."""
    p = world.position(body)
    upright = abs(world.data.body(body).xmat[8]) > 0.98
    return bool(upright and p[2] < 0.03 and 0.33 < p[0] < 0.65 and -0.15 < p[1] < 0.10)


def grasp(world: Table, body: str, tries: int = 4) -> Motion:
    """Grasp a block; try again when it has slipped."""
    for _ in range(tries):
        yield from reach(world, lambda: world.position(body), OPEN)
        yield from grip(world, CLOSED)
        if world.touched(body):
            return
        yield from grip(world, OPEN)
