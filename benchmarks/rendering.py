"""Images per second of the full scene at 96x96 in one process, beside the same scene in MuJoCo's default quality.

python -m benchmarks.rendering
"""

import sim.headless  # noqa: F401, I001  first: it chooses how MuJoCo renders

import argparse
import sys
import tempfile
import time
from collections.abc import Callable

import mujoco
import numpy as np

from policy.errors import exit_code
from sim.worlds.tabletop.appearance import CAMERAS
from sim.worlds.tabletop.table import SIZE
from sim.worlds.tabletop.world import Tabletop

REPEATS, IMAGES = 5, 200


def rate(draw: Callable[[str], object]) -> list[float]:
    """Images per second, sorted, of `REPEATS` runs."""
    runs = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        for i in range(IMAGES):
            draw(CAMERAS[i % 2])
        runs.append(IMAGES / (time.perf_counter() - begun))
    return sorted(runs)


def main() -> None:
    """Measure and print."""
    argparse.ArgumentParser(
        prog="python -m benchmarks.rendering", description=(__doc__ or "").splitlines()[0]
    ).parse_args()
    world = Tabletop()
    world.reset(np.random.default_rng(0))
    ours = rate(lambda camera: world.render(camera, SIZE, SIZE))
    with tempfile.TemporaryDirectory() as folder:
        renderer = mujoco.Renderer(_default_quality(world.model, f"{folder}/scene.mjb"), SIZE, SIZE)

    def plainly(camera: str) -> None:
        renderer.update_scene(world.data, camera)
        renderer.render()

    theirs = rate(plainly)
    renderer.close()
    for name, runs in (("ours", ours), ("the same scene in MuJoCo's default quality", theirs)):
        print(f"{name}: {runs[REPEATS // 2]:.0f} images/s (median of {REPEATS}; {runs[0]:.0f} to {runs[-1]:.0f})")


def _default_quality(model: mujoco.MjModel, path: str) -> mujoco.MjModel:
    """A copy with MuJoCo's default shadows, multisampling and tessellation."""
    default = mujoco.MjModel.from_xml_string("<mujoco/>")
    for key in ("shadowsize", "offsamples", "numslices", "numstacks", "numquads"):
        setattr(model.vis.quality, key, getattr(default.vis.quality, key))
    model.light_castshadow[:] = 1
    mujoco.mj_saveModel(model, path)
    return mujoco.MjModel.from_binary_path(path)


if __name__ == "__main__":
    sys.exit(exit_code(main))
