"""The perturbed suites of LIBERO-PRO, for evaluations alone: they have no experts, and no policy is trained on them.

libero_goal:lan      the ten tasks in other words
libero_goal:swap     things and furniture stand where others stood
libero_goal:task     other things are to be done with what is there
libero_goal:object   things and furniture look otherwise, or are larger
"""

from functools import cache

from policy.errors import InputError, unknown
from sim.worlds.libero_goal.benchmark import SUITE, sentences
from sim.worlds.libero_goal.motions import Motion
from sim.worlds.libero_goal.table import OFFICIAL, LiberoTable
from sim.worlds.libero_goal.tasks.task import Task
from sim.worlds.libero_goal.world import LiberoGoal

PREFIX = f"{SUITE}:"
KINDS = ("lan", "swap", "task", "object")


class PerturbedTask(Task):
    """A task of a perturbed suite, in the one sentence that the suite has for it."""

    kind = "perturbed"
    reworded = new_words = ()

    def __init__(self, name: str, sentence: str) -> None:
        self.name = self.moved_body = name
        self.phrasings = (sentence.replace("\u2019", "'"),)  # the sentence encoder has no typographic apostrophe

    def ready(self, world: LiberoTable) -> bool:
        return world.benchmark.scene == self.name

    def motion(self, world: LiberoTable) -> Motion:
        raise InputError(f"{self.name} of {world.name} has no expert: the suite is for evaluations alone")


class Perturbed(LiberoGoal):
    """The classes of `world_class` are of this one; they share robot, state and action with `libero_goal`."""

    one_scene = False
    starts = (OFFICIAL,)
    loose_bodies = ()  # other ones in each scene


@cache
def world_class(name: str) -> type[Perturbed]:
    """The world of a suite, such as `libero_goal:swap`; `InputError` for another, or without the benchmark."""
    kind = name.removeprefix(PREFIX)
    if kind not in KINDS:
        raise unknown("suite of libero_goal", kind, KINDS)
    suite = f"{SUITE}_{kind}"
    tasks = {task: PerturbedTask(task, sentence) for task, sentence in sentences(suite).items()}
    return type("Perturbed", (Perturbed,), {"name": name, "suite": suite, "tasks": tasks})
