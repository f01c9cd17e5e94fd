"""Pictures for people: antialiased, with shadows. A policy sees nothing of it: its pictures are rendered fast."""

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import mujoco
import numpy as np

OVER = 2  # each pixel is the mean of OVER x OVER rendered ones
SHADOW = 1024  # pixels of the map of shadows
FINE = {"shadowsize": SHADOW, "offsamples": 0, "numslices": 20, "numstacks": 12}  # of spheres and cylinders
AWAY = (0.78, 0.81, 0.85, 1.0)  # the colour of what is far away
CLIP, NEAR, FAR = 0.6, 0.9, 2.4  # in extents of the scene: what casts shadows, where the colour begins and ends


class FilmCamera:
    """Renders a scene of MuJoCo for a film; the model is as before after each picture."""

    def __init__(self, model: mujoco.MjModel, height: int, width: int) -> None:
        self._model = model
        self._planes = model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE
        view, buffer = model.vis.map, model.vis.global_
        view.shadowclip, view.fogstart, view.fogend = CLIP, NEAR, FAR  # read for shadows and haze alone
        model.vis.rgba.fog[:] = AWAY
        buffer.offwidth, buffer.offheight = max(buffer.offwidth, OVER * width), max(buffer.offheight, OVER * height)
        plain = {name: getattr(model.vis.quality, name) for name in FINE}
        self._quality(FINE)
        with self._lit():
            self._renderer = mujoco.Renderer(model, OVER * height, OVER * width)
        self._quality(plain)
        atexit.register(self._renderer.close)  # later, EGL is gone already and complains
        flag, flags = mujoco.mjtRndFlag, self._renderer.scene.flags
        flags[flag.mjRND_REFLECTION] = flags[flag.mjRND_SKYBOX] = flags[flag.mjRND_HAZE] = 0
        flags[flag.mjRND_SHADOW] = flags[flag.mjRND_FOG] = 1

    def shoot(self, data: mujoco.MjData, camera: str, option: mujoco.MjvOption) -> np.ndarray:
        """RGB uint8 (height, width, 3)."""
        with self._lit():
            self._renderer.update_scene(data, camera, option)
        picture = self._renderer.render()
        height, width = picture.shape[0] // OVER, picture.shape[1] // OVER
        return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))

    def close(self) -> None:
        """Give the renderer back."""
        atexit.unregister(self._renderer.close)
        self._renderer.close()

    @contextmanager
    def _lit(self) -> Iterator[None]:
        """Lights that cast shadows, and a floor without end."""
        model = self._model
        lights, sizes = model.light_castshadow.copy(), model.geom_size[self._planes].copy()
        model.light_castshadow[:] = True
        model.geom_size[self._planes, :2] = 0
        try:
            yield
        finally:
            model.light_castshadow[:], model.geom_size[self._planes] = lights, sizes

    def _quality(self, values: dict[str, Any]) -> None:
        for name, value in values.items():
            setattr(self._model.vis.quality, name, value)
