"""Put the wine bottle on top of the cabinet, or on the rack; the hand holds it by its neck."""

from sim.worlds.libero_goal.motions import DOWN, Motion, at, leave
from sim.worlds.libero_goal.table import LiberoTable
from sim.worlds.libero_goal.tasks.bowl import carry, grasp
from sim.worlds.libero_goal.tasks.task import BOTTLE, Task, within_reach

NECK = at(0, 0, 0.13)  # m from its foot to where the hand grasps
ABOVE = 0.09  # m over the neck from which the hand comes


class BottleOnCabinet(Task):
    """The bottle stands on the cabinet."""

    name = kind = "put_the_wine_bottle_on_top_of_the_cabinet"
    moved_body, grasps = BOTTLE, True
    phrasings = (
        "put the wine bottle on top of the cabinet",
        "place the wine bottle on top of the cabinet",
        "put the bottle on the cabinet",
        "set the wine bottle on the wooden cabinet",
        "pick up the wine bottle and put it on top of the cabinet",
        "please put the wine bottle on top of the drawers",
        "move the bottle to the top of the cabinet",
        "the wine bottle should be on the cabinet",
        "could you place the bottle of wine on the cabinet",
        "take the wine bottle and stand it on the cabinet",
        "wine bottle on top of the cabinet",
        "i want the wine bottle on the cabinet",
    )
    reworded = (
        "please pick up the bottle and place it on top of the cabinet",
        "could you move the wine bottle onto the cabinet",
        "take the bottle of wine to the top of the wooden cabinet",
    )
    new_words = (
        "lift the merlot up to the cupboard",
        "the bottle belongs upon the dresser",
        "store the wine atop the cabinet",
    )

    def ready(self, world: LiberoTable) -> bool:
        return within_reach(world, BOTTLE)

    def motion(self, world: LiberoTable) -> Motion:
        yield from grasp(world, BOTTLE, NECK, DOWN, ABOVE, 0.26)
        yield from carry(
            world, BOTTLE, lambda: world.site("wooden_cabinet_1_top_side") + at(0, 0, 0.006), DOWN, 0.06 + NECK[2], 0.01
        )
        yield from leave(world)


class BottleOnRack(Task):
    """The bottle slides into the rack."""

    name = kind = "put_the_wine_bottle_on_the_rack"
    moved_body, grasps = BOTTLE, True
    phrasings = (
        "put the wine bottle on the rack",
        "place the wine bottle on the rack",
        "put the bottle on the wine rack",
        "set the wine bottle on the wooden rack",
        "pick up the wine bottle and put it on the rack",
        "please put the wine bottle on the wine rack",
        "move the bottle to the rack",
        "the wine bottle should be on the rack",
        "could you place the bottle of wine in the rack",
        "take the wine bottle and lay it on the rack",
        "wine bottle on the rack",
        "i want the wine bottle on the rack",
    )
    reworded = (
        "please pick up the bottle and place it on the wine rack",
        "could you move the wine bottle onto the rack",
        "take the bottle of wine to the rack",
    )
    new_words = ("store the merlot in its holder", "the bottle belongs upon the rack", "stow the wine on the rack")

    def ready(self, world: LiberoTable) -> bool:
        return within_reach(world, BOTTLE)

    def motion(self, world: LiberoTable) -> Motion:
        yield from grasp(world, BOTTLE, NECK, DOWN, ABOVE, 0.28)
        yield from carry(
            world, BOTTLE, lambda: world.site("wine_rack_1_top_region") + at(0.05, -0.012, -0.02), DOWN, 0.24, 0.01
        )
        yield from leave(world)


TASKS = (BottleOnCabinet(), BottleOnRack())
