"""Put the cream cheese in the bowl."""

from sim.worlds.libero_goal.motions import DOWN, Motion, at, leave
from sim.worlds.libero_goal.table import LiberoTable
from sim.worlds.libero_goal.tasks.bowl import carry, grasp
from sim.worlds.libero_goal.tasks.task import BOWL, CHEESE, Task, within_reach

GRASP = at(0, 0, 0.006)  # m from its middle to where the hand grasps


class CheeseInBowl(Task):
    """The cheese is let go over the bowl."""

    name = kind = "put_the_cream_cheese_in_the_bowl"
    moved_body, grasps = CHEESE, True
    phrasings = (
        "put the cream cheese in the bowl",
        "place the cream cheese in the bowl",
        "put the cream cheese into the black bowl",
        "pick up the cream cheese and put it in the bowl",
        "please put the cream cheese in the bowl",
        "move the cream cheese to the bowl",
        "the cream cheese should be in the bowl",
        "could you put the cream cheese box into the bowl",
        "take the cream cheese and drop it in the bowl",
        "set the cheese in the bowl",
        "cream cheese in the bowl",
        "i want the cream cheese in the bowl",
    )
    reworded = (
        "please pick up the cream cheese and place it in the black bowl",
        "could you move the cheese into the bowl",
        "take the box of cream cheese to the bowl",
    )
    new_words = ("toss the dairy spread into the dish", "stow the cheese inside the bowl", "load the bowl with cheese")

    def ready(self, world: LiberoTable) -> bool:
        return within_reach(world, BOWL) and within_reach(world, CHEESE)

    def motion(self, world: LiberoTable) -> Motion:
        yield from grasp(world, CHEESE, GRASP, DOWN, 0.12, 0.16)
        yield from carry(world, CHEESE, lambda: world.position(BOWL) + at(0, 0, 0.055), DOWN, 0.12, 0.01)
        yield from leave(world)


TASKS = (CheeseInBowl(),)
