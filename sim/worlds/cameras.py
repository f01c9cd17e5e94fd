"""The pictures of a scene of MuJoCo: fast ones for a policy, fine ones for people."""

import atexit
from typing import Any

import mujoco
import numpy as np

from sim.worlds.film import FilmCamera

PLAIN, MARKS = mujoco.MjvOption(), mujoco.MjvOption()  # without and with the marks of sites, such as goals
PLAIN.sitegroup[:] = 0


class Cameras:
    """Renderers of a model, one for each size that is asked for, which take much longer to make than a picture."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._renderers: dict[tuple[int, int], mujoco.Renderer] = {}
        self._film_cameras: dict[tuple[int, int], FilmCamera] = {}

    def render(
        self, data: mujoco.MjData, camera: Any, height: int, width: int, option: mujoco.MjvOption = PLAIN
    ) -> np.ndarray:
        """RGB uint8 (height, width, 3), without shadows, reflections and sky, which cost most of the time."""
        if (height, width) not in self._renderers:
            self._renderers[height, width] = _fast(self._model, height, width)
        self._renderers[height, width].update_scene(data, camera, option)
        return np.asarray(self._renderers[height, width].render())

    def film(
        self, data: mujoco.MjData, camera: Any, height: int, width: int, option: mujoco.MjvOption = PLAIN
    ) -> np.ndarray:
        """RGB uint8 (height, width, 3), antialiased and with shadows."""
        if (height, width) not in self._film_cameras:
            self._film_cameras[height, width] = FilmCamera(self._model, height, width)
        return self._film_cameras[height, width].shoot(data, camera, option)

    def close(self) -> None:
        """Give the renderers back."""
        for renderer in self._renderers.values():
            atexit.unregister(renderer.close)
            renderer.close()
        for camera in self._film_cameras.values():
            camera.close()
        self._renderers.clear()
        self._film_cameras.clear()


def _fast(model: mujoco.MjModel, height: int, width: int) -> mujoco.Renderer:
    renderer = mujoco.Renderer(model, height, width)
    flag = mujoco.mjtRndFlag
    for off in (flag.mjRND_SHADOW, flag.mjRND_REFLECTION, flag.mjRND_SKYBOX, flag.mjRND_HAZE, flag.mjRND_FOG):
        renderer.scene.flags[off] = 0
    atexit.register(renderer.close)  # later, EGL is gone already and complains
    return renderer
