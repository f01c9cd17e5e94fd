"""The fifty tasks: what each is called, and what its expert does.

    now --+-- four steps of 80 Hz as the benchmark's expert takes them --> where they lead: the goal of the hand
          +-- back to now; the goal is held for a control step

So the expert is nearly as good at 20 Hz as at its own rate.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from sim.worlds.interface import TaskIn

if TYPE_CHECKING:
    from sim.worlds.metaworld.world import MetaWorld

SENTENCES: dict[str, list[str]] = yaml.safe_load((Path(__file__).parent / "assets" / "sentences.yaml").read_text())
STEPS = 125  # the 500 of the benchmark, which are shorter


class SceneTask(TaskIn["MetaWorld"]):
    """The task of a scene; success is what the benchmark says, in any of its steps."""

    kind = "scene"
    steps = STEPS

    def __init__(self, name: str) -> None:
        self.name = self.moved_body = name
        sentence, other = SENTENCES[name]
        self.phrasings = (name.replace("-", " "), sentence)
        self.reworded = (f"could you {sentence}", f"{sentence}, please")
        self.new_words = (other,)

    def possible(self, world: "MetaWorld") -> bool:
        return world.scene_name == self.name and not world.done

    def success(self, world: "MetaWorld") -> bool:
        return world.scene_name == self.name and world.done

    def expert(self, world: "MetaWorld") -> Iterator[np.ndarray]:
        """Goals (4,) of the hand and its opening, until the success that ends an episode."""
        while not self.success(world):
            yield world.demonstrated()


TASKS = {name: SceneTask(name) for name in SENTENCES}
