"""Put the bowl on the plate, on the stove, on top of the cabinet; the hand holds it by its rim."""

from collections.abc import Callable

import numpy as np

from sim.worlds.libero_goal.motions import CLOSED, Motion, Point, at, grip, leave, reach, rise, turned
from sim.worlds.libero_goal.table import OPEN, LiberoTable
from sim.worlds.libero_goal.tasks.task import BOWL, PLATE, Task, within_reach

TURN = turned(z=np.pi / 4)
RIM = 0.049 * at(-np.sqrt(0.5), np.sqrt(0.5), 0) + at(0, 0, 0.035)  # m from the bowl to where the hand grasps
TRIES = 3
LOST = 0.2  # m from the hand: a held body is nearer


def held(world: LiberoTable, body: str, offset: np.ndarray) -> bool:
    """Whether the hand has closed on a body, at about this offset from it."""
    return bool(world.opening < 0.75 * OPEN and np.linalg.norm(world.tcp - world.position(body) - offset) < 0.05)


def grasp(world: LiberoTable, body: str, offset: np.ndarray, turn: np.ndarray, above: float, lift: float) -> Motion:
    """Grasp a body at an offset from it, and lift it; what slips away is grasped again."""
    for _ in range(TRIES):
        if not held(world, body, offset):
            yield from reach(world, lambda: world.position(body) + offset, turn, OPEN, above)
            yield from grip(world, CLOSED, turn)
            if held(world, body, offset):
                yield from rise(world, lift, turn, CLOSED)


def carry(world: LiberoTable, body: str, point: Point, turn: np.ndarray, above: float, tolerance: float) -> Motion:
    """Bring a held body over a point and lower it there, unless it is lost."""

    def hand() -> np.ndarray:
        return np.asarray(point() + world.tcp - world.position(body))

    def lost() -> bool:
        return bool(np.linalg.norm(world.tcp - world.position(body)) > LOST)

    yield from reach(world, hand, turn, CLOSED, above, tolerance, most=100, until=lost)


class PutBowl(Task):
    """The bowl goes where `place` says."""

    moved_body, grasps = BOWL, True
    lift = 0.18
    above = 0.16  # m that the hand travels over where it lets go

    def __init__(
        self,
        name: str,
        place: Callable[[LiberoTable], np.ndarray],
        words: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]],
    ) -> None:
        self.name = self.kind = name
        self.place = place
        self.phrasings, self.reworded, self.new_words = words

    def ready(self, world: LiberoTable) -> bool:
        return within_reach(world, BOWL)

    def motion(self, world: LiberoTable) -> Motion:
        yield from grasp(world, BOWL, RIM, TURN, 0.11, self.lift)
        yield from carry(world, BOWL, lambda: self.place(world), TURN, self.above, 0.008)
        yield from leave(world)


def _on_plate(world: LiberoTable) -> np.ndarray:
    return np.asarray(world.position(PLATE) + at(0, 0, 0.015))


def _on_stove(world: LiberoTable) -> np.ndarray:
    point = world.site("flat_stove_1_cook_region")
    return np.array([point[0], point[1], 0.94])


def _on_cabinet(world: LiberoTable) -> np.ndarray:
    return np.asarray(world.site("wooden_cabinet_1_top_side") + at(0, 0, 0.012))


TASKS = (
    PutBowl(
        "put_the_bowl_on_the_plate",
        _on_plate,
        (
            (
                "put the bowl on the plate",
                "place the bowl on the plate",
                "set the black bowl on the plate",
                "put the black bowl onto the plate",
                "pick up the bowl and put it on the plate",
                "please put the bowl on the plate",
                "move the bowl to the plate",
                "the bowl should be on the plate",
                "could you place the black bowl on top of the plate",
                "take the bowl and set it down on the plate",
                "bowl on the plate",
                "i want the bowl on the plate",
            ),
            (
                "please pick up the black bowl and place it on the plate",
                "could you move the bowl onto the plate",
                "take the black bowl to the plate",
            ),
            ("lay the dark dish on the saucer", "drop the bowl onto the round tray", "rest the bowl upon the plate"),
        ),
    ),
    PutBowl(
        "put_the_bowl_on_the_stove",
        _on_stove,
        (
            (
                "put the bowl on the stove",
                "place the bowl on the stove",
                "set the black bowl on the stove",
                "put the black bowl onto the burner",
                "pick up the bowl and put it on the stove",
                "please put the bowl on the stove",
                "move the bowl to the stove",
                "the bowl should be on the stove",
                "could you place the black bowl on the burner of the stove",
                "take the bowl and set it down on the stove",
                "bowl on the stove",
                "i want the bowl on the stove",
            ),
            (
                "please pick up the black bowl and place it on the stove",
                "could you move the bowl onto the stove",
                "take the black bowl to the burner",
            ),
            ("bring the bowl to the cooker", "lay the dark dish on the hot plate", "rest the bowl upon the stove"),
        ),
    ),
    PutBowl(
        "put_the_bowl_on_top_of_the_cabinet",
        _on_cabinet,
        (
            (
                "put the bowl on top of the cabinet",
                "place the bowl on top of the cabinet",
                "set the black bowl on the cabinet",
                "put the black bowl onto the cabinet",
                "pick up the bowl and put it on top of the cabinet",
                "please put the bowl on top of the drawers",
                "move the bowl to the top of the cabinet",
                "the bowl should be on the cabinet",
                "could you place the black bowl on the wooden cabinet",
                "take the bowl and set it down on the cabinet",
                "bowl on top of the cabinet",
                "i want the bowl on the cabinet",
            ),
            (
                "please pick up the black bowl and place it on top of the cabinet",
                "could you move the bowl onto the cabinet",
                "take the black bowl to the top of the wooden cabinet",
            ),
            ("lay the dark dish on the cupboard", "lift the bowl to the dresser top", "rest the bowl upon the chest"),
        ),
    ),
)
