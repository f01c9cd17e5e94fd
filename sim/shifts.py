"""Changes of what a policy sees that training has not shown it: those of the world, and those of any camera."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from policy.errors import listed
from sim.worlds.interface import World

NONE = "none"  # the same episodes as they are
PLAIN = 0.4  # share of recordings that are not varied
NOISE = 8.0  # standard deviation, of 255
QUALITY = 40  # of JPEG

Filter = Callable[[np.ndarray], np.ndarray]


def _noise(rng: np.random.Generator) -> Filter:
    return lambda picture: np.clip(np.rint(picture + rng.normal(0, NOISE, picture.shape)), 0, 255).astype(np.uint8)


def _jpeg(_: np.random.Generator) -> Filter:
    def compress(picture: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=QUALITY)
        return np.asarray(Image.open(file))

    return compress


FILTERS: dict[str, Callable[[np.random.Generator], Filter]] = {"noise": _noise, "jpeg": _jpeg}


def shift_names(text: str, world: type[World]) -> list[str]:
    """The shifts that `--shift` names, "all" for those of the world and of the cameras; `InputError` for others."""
    known = [*world.shifts, *FILTERS]
    return known if text == "all" else listed(text, "shift", known)


def shift(world: World, name: str, seed: int) -> None:
    """Change what is seen until the next `reset`; what is random in it comes from the seed."""
    rng = np.random.default_rng([seed, 7])
    if name in FILTERS:
        world.image_filter = FILTERS[name](rng)
    elif name != NONE:
        world.shift(name, rng)


def vary(world: World, rng: np.random.Generator) -> str:
    """Draw the look of a recording until the next `reset`, the plain one in a share of PLAIN; what was changed."""
    return "plain" if rng.random() < PLAIN else world.vary(rng)
