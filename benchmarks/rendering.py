"""Images per second of the full scene at 96x96 in one process, beside the same scene drawn as MuJoCo draws by default.

    python -m benchmarks.rendering
"""

import time

import mujoco
import numpy as np

from sim.world import CAMERAS, SIZE, World

REPEATS, IMAGES = 5, 200


def rate(draw) -> list[float]:
    """Images per second, sorted, of `REPEATS` runs."""
    runs = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        for i in range(IMAGES):
            draw(CAMERAS[i % 2])
        runs.append(IMAGES / (time.perf_counter() - begun))
    return sorted(runs)


def main() -> None:
    world = World()
    world.reset(np.random.default_rng(0))
    ours = rate(lambda camera: world.render(camera, SIZE, SIZE))
    plain = mujoco.MjModel.from_binary_path(_default_quality(world.model))
    renderer = mujoco.Renderer(plain, SIZE, SIZE)

    def as_shipped(camera: str) -> np.ndarray:
        renderer.update_scene(world.data, camera)
        return renderer.render()

    theirs = rate(as_shipped)
    renderer.close()
    for name, runs in (("ours", ours), ("MuJoCo's default quality, same scene", theirs)):
        print(f"{name}: {runs[REPEATS // 2]:.0f} images/s (median of {REPEATS}; {runs[0]:.0f} to {runs[-1]:.0f})")


def _default_quality(model: mujoco.MjModel) -> str:
    """The same model, saved with MuJoCo's default shadows, multisampling and tessellation."""
    import tempfile

    default = mujoco.MjModel.from_xml_string("<mujoco/>")
    for key in ("shadowsize", "offsamples", "numslices", "numstacks", "numquads"):
        setattr(model.vis.quality, key, getattr(default.vis.quality, key))
    model.light_castshadow[:] = 1
    path = tempfile.mkstemp(suffix=".mjb")[1]
    mujoco.mj_saveModel(model, path)
    return path


if __name__ == "__main__":
    main()
