"""Push the plate to the front of the stove."""

import numpy as np

from sim.worlds.libero_goal.motions import CLOSED, Goal, Motion, at, leave, reach, straight, turned
from sim.worlds.libero_goal.table import LiberoTable
from sim.worlds.libero_goal.tasks.task import BOWL, PLATE, Task, within_reach

INSIDE = at(0, 0.02, 0.012)  # m from the plate's middle to where the closed fingers push
TURN = turned(z=np.pi / 4)  # both ways of pushing meet the rim alike
GOAL = "main_table_stove_front_region"


class PushPlate(Task):
    """The closed hand inside the plate's rim pushes it: first along y, past the cheese, then along x."""

    name = kind = "push_the_plate_to_the_front_of_the_stove"
    moved_body = PLATE
    phrasings = (
        "push the plate to the front of the stove",
        "push the plate in front of the stove",
        "slide the plate to the front of the stove",
        "move the plate to the front of the stove",
        "please push the plate in front of the stove",
        "push the plate over to the front of the stove",
        "the plate should be in front of the stove",
        "could you slide the plate in front of the stove",
        "get the plate to the front of the stove",
        "move the plate in front of the stove",
        "plate to the front of the stove",
        "i want the plate in front of the stove",
    )
    reworded = (
        "could you push the plate over in front of the stove",
        "please slide the plate to the stove front",
        "i want the plate pushed to the front of the stove",
    )
    new_words = ("shove the saucer before the cooker", "nudge the plate toward the stove", "drag the dish to the hob")

    def ready(self, world: LiberoTable) -> bool:
        bowl, plate = world.position(BOWL), world.position(PLATE)
        return within_reach(world, PLATE) and float(np.linalg.norm(bowl[:2] - plate[:2])) > 0.1

    def motion(self, world: LiberoTable) -> Motion:
        yield from reach(world, lambda: world.position(PLATE) + INSIDE, TURN, CLOSED, 0.1, 0.005)
        yield from _push(world, np.array([0.0, 1.0, 0.0]), 0.03, 0.015)  # too far, or the cheese is caught
        away = at(-0.02, 0, INSIDE[2])
        yield from straight(world, lambda: world.position(PLATE) + away, TURN, CLOSED, 0.01, lead=0.02, most=25)
        yield from _push(world, np.array([-1.0, 0.0, 0.0]), 0.025, -0.015)
        yield from leave(world)


def _push(world: LiberoTable, way: np.ndarray, lead: float, past: float) -> Motion:
    """Push the plate along `way` until it is `past` metres beyond its goal."""
    line = world.position(PLATE)
    for _ in range(90):
        plate = world.position(PLATE)
        if (plate - world.site(GOAL)) @ way >= past:
            return
        point = line + way * (way @ (world.tcp - line) + lead)  # the arm hardly reaches further than this line
        point[2] = plate[2] + INSIDE[2] - 0.004  # down, or the fingers climb over the rim
        yield Goal(point, TURN, CLOSED)


TASKS = (PushPlate(),)
