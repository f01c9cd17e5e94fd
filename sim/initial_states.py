"""Initial states of episodes: at home, where other tasks have just ended, or where the task was just missed."""

from copy import deepcopy

import numpy as np

from policy.errors import InputError, unknown
from sim.demonstration import demonstrate
from sim.worlds.interface import Task, World

KINDS = ("home", "other", "near_miss", "undecided")
MISSED = (2, 25)  # control steps before success at which the expert lets go
MOST_SEED = 2**31 - 1
LEAVING = (14, 30)  # control steps for which the open hand then rises: at the block it would learn to turn away


def check_seed(seed: int) -> None:
    """`InputError` for what is no seed of a layout."""
    if not 0 <= seed <= MOST_SEED:
        raise InputError(f"got the seed {seed}, expected 0 to {MOST_SEED}")


def start(world: World, task: Task, seed: int, kind: str) -> None:
    """Reset the world from `seed` to a state in which `task` is possible.

    "home": the arm is near its home pose. "other": experts have done one to three other tasks, each until its success
    has held as in an evaluation; where a single step is success, until they have let go and left. "undecided": the task
    or its opposite could be asked for, as with a drawer that is half open; the task may be done already. "near_miss":
    the task's own expert has let go shortly before success, because states that look done and are not are rare
    elsewhere. Other kinds are the world's own. `InputError` for a kind that the world does not have for this task.
    """
    if kind not in (known := _kinds(world, task)):
        raise unknown(f"start of {task.name} in {world.name}", kind, known)
    rng = np.random.default_rng(seed)
    _lay_out(world, task, rng, kind, seed)
    task.arrange(world, rng)


def _kinds(world: World, task: Task) -> list[str]:
    """Those that a world has for a task; where nothing else can be done in its scene, none is done before it."""
    impossible = set() if len(world.tasks) > 1 and world.one_scene else {"other"}
    impossible |= set() if task.opposite else {"undecided"}
    return [kind for kind in dict.fromkeys((*world.starts, *world.evaluated_from)) if kind not in impossible]


def _lay_out(world: World, task: Task, rng: np.random.Generator, kind: str, seed: int) -> None:
    if kind == "undecided":
        return _undecided(world, task, rng)
    if kind not in KINDS:
        return world.begin(task.name, kind, seed, rng)
    while True:
        layout = deepcopy(rng)
        world.reset_to(task.name, rng)
        if kind == "other" and not all(_do_another(world, task, rng) for _ in range(rng.integers(1, 4))):
            continue
        if kind == "near_miss" and not _miss(world, task, rng, layout):
            continue
        if task.possible(world):
            return


def _undecided(world: World, task: Task, rng: np.random.Generator) -> None:
    while True:
        world.reset_to(task.name, rng)
        if task.undecided(world, rng):
            return


def _do_another(world: World, task: Task, rng: np.random.Generator) -> bool:
    others = [t for t in world.tasks.values() if t.name != task.name and t.possible(world)]
    if not others:
        return False
    other = others[rng.integers(len(others))]
    held = demonstrate(world, other)
    return any(held if world.success_steps > 1 else list(held))


def _miss(world: World, task: Task, rng: np.random.Generator, layout: np.random.Generator) -> bool:
    """Do the task, reset to the same layout, do it again but let go shortly before success; False where it fails."""
    if not task.possible(world):
        return False
    held = list(demonstrate(world, task))
    if not any(held):
        return False
    after = held.index(True) + 1 - world.success_steps - int(rng.integers(*MISSED))
    leaving = int(rng.integers(*LEAVING))
    world.reset_to(task.name, layout)
    for action in task.near_miss(world, after, leaving):
        world.step(action)
    return True
