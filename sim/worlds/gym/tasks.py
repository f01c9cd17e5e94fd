"""The task that an environment is: success is what it says itself."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from policy.errors import InputError
from sim.worlds.interface import TaskIn

if TYPE_CHECKING:
    from sim.worlds.gym.world import GymWorld


class EpisodeTask(TaskIn["GymWorld"]):
    """Success of the whole environment."""

    kind = "episode"
    moved_body = ""

    def __init__(self, name: str, phrasings: tuple[str, ...], other: str = "do what has to be done here") -> None:
        self.name, self.phrasings = name, phrasings
        self.reworded = (f"could you {phrasings[0]}", f"{phrasings[0]}, please")
        self.new_words = (other,)

    def possible(self, world: "GymWorld") -> bool:
        return not self.success(world)

    def success(self, world: "GymWorld") -> bool:
        return world.done

    def expert(self, world: "GymWorld") -> Iterator[np.ndarray]:
        """Nobody is known who could do it."""
        raise InputError(
            f"nobody demonstrates {world.name}: train on recordings of your own, or add an expert in "
            "sim/worlds/gym/known.py"
        )
