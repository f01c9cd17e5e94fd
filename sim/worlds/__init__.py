"""The worlds, by name. A world is a folder `sim/worlds/<name>/`, which is imported only when it is asked for."""

from importlib import import_module
from importlib.util import find_spec

from policy.errors import unknown
from sim.worlds.interface import World

DEFAULT = "tabletop"
WORLDS = {  # name -> module and class, a sim.worlds.interface.World
    "tabletop": "sim.worlds.tabletop.world:Tabletop",
    "tabletop_ee": "sim.worlds.tabletop.poses:TabletopPoses",
    "tabletop_states": "sim.worlds.tabletop.states:TabletopStates",
    "two_arms": "sim.worlds.two_arms.world:TwoArms",
    "desk_arm": "sim.worlds.desk_arm.world:DeskArm",
    "libero_goal": "sim.worlds.libero_goal.world:LiberoGoal",
    "metaworld": "sim.worlds.metaworld.world:MetaWorld",
}

ELSEWHERE = {"libero_goal": "libero", "metaworld": "metaworld"}  # worlds of others -> the package to tell that by

GYM, PERTURBED = ("gym:", "gym-states:"), "libero_goal:"


def installed() -> list[str]:
    """The worlds that this environment can make."""
    return [name for name in WORLDS if name not in ELSEWHERE or find_spec(ELSEWHERE[name]) is not None]


def load(name: str) -> type[World]:
    """The class of a world, which makes one when called; `InputError` for an unknown name.

    `gym:<id>` and `gym-states:<id>` are environments of Gymnasium, `libero_goal:<suite>` a perturbed suite of LIBERO.
    """
    if name.startswith(GYM):
        return import_module("sim.worlds.gym.world").world_class(name)  # type: ignore[no-any-return]
    if name.startswith(PERTURBED):
        return import_module("sim.worlds.libero_goal.perturbed").world_class(name)  # type: ignore[no-any-return]
    if name not in WORLDS:
        raise unknown("world", name, [*WORLDS, "gym:<id>", f"{PERTURBED}<suite>"])
    module, _, member = WORLDS[name].partition(":")
    world: type[World] = getattr(import_module(module), member)
    return world
