"""Textures of the table top, drawn by formulas: grey pictures that the colour of the table tints."""

from collections.abc import Callable

import mujoco
import numpy as np

SIZE = 64  # pixels

Drawing = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]  # x, y (SIZE, SIZE) in 0..1 -> 0..1

# Seen in recordings.
TRAINING: dict[str, Drawing] = {
    "grain": lambda x, y, rng: 0.5 + 0.5 * np.sin(2 * np.pi * (9 * y + 0.4 * np.sin(2 * np.pi * x))),
    "speckle": lambda x, y, rng: rng.random(x.shape),
    "weave": lambda x, y, rng: 0.5 + 0.25 * np.sin(32 * np.pi * x) + 0.25 * np.sin(32 * np.pi * y),
    "planks": lambda x, y, rng: np.where((6 * y) % 1 < 0.12, 0.0, rng.random(6)[(6 * y).astype(int)] * 0.5 + 0.5),
    "stains": lambda x, y, rng: _smooth(rng, x.shape, 6),
}
# Seen in evaluations only (`--shift table_textured`).
HELD_OUT: dict[str, Drawing] = {
    "tiles": lambda x, y, rng: ((4 * x).astype(int) + (4 * y).astype(int)) % 2.0,
    "rings": lambda x, y, rng: 0.5 + 0.5 * np.sin(24 * np.pi * np.hypot(x - 0.5, y - 0.5)),
    "dots": lambda x, y, rng: (np.hypot((5 * x) % 1 - 0.5, (5 * y) % 1 - 0.5) < 0.28).astype(float),
}


def add_textures(spec: "mujoco.MjSpec") -> None:
    """A material of its name for each texture."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    for i, (name, drawing) in enumerate({**TRAINING, **HELD_OUT}.items()):
        grey = np.clip(drawing(x, y, np.random.default_rng(i)), 0, 1) * 0.45 + 0.55
        pixels = np.repeat((grey * 255).astype(np.uint8)[..., None], 3, 2)
        texture = spec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=SIZE, height=SIZE, nchannel=3)
        texture.data = pixels.tobytes()
        material = spec.add_material(name=name, texrepeat=[2, 2], specular=0, shininess=0)
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name


def _smooth(rng: np.random.Generator, shape: tuple[int, ...], cells: int) -> np.ndarray:
    """Blots: random values on a coarse grid, interpolated."""
    coarse = np.pad(rng.random((cells, cells)), (0, 1), mode="wrap")
    at = np.arange(shape[0]) / shape[0] * cells
    low, share = at.astype(int), at % 1
    rows = coarse[low] * (1 - share[:, None]) + coarse[low + 1] * share[:, None]
    return np.asarray(rows[:, low] * (1 - share) + rows[:, low + 1] * share)
