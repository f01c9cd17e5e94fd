"""Pictures of an environment: of a MuJoCo scene by renderers of our own, of any other as it draws itself."""

from collections.abc import Mapping
from typing import Any

import cv2
import gymnasium
import mujoco
import numpy as np

from policy.errors import InputError
from sim.worlds.cameras import MARKS, Cameras


class Views:
    """`views`: camera -> a name in the scene, where it looks, or None for the environment's own picture."""

    def __init__(self, environment: gymnasium.Env[Any, Any], views: Mapping[str, Any]) -> None:
        self._environment, self._views = environment, views
        model, self._data = (getattr(environment.unwrapped, name, None) for name in ("model", "data"))
        self._cameras = Cameras(model)

    def render(self, camera: str, height: int, width: int) -> np.ndarray:
        """RGB uint8 (height, width, 3)."""
        view = self._views.get(camera, next(iter(self._views.values())))
        if view is None:
            return self._own(height, width)
        self._prepare()
        return self._cameras.render(self._data, _camera(view), height, width, MARKS)

    def film(self, height: int, width: int) -> np.ndarray:
        """The first camera's picture, antialiased and with shadows where the scene is MuJoCo's."""
        view = next(iter(self._views.values()))
        if view is None:
            return self._own(height, width)
        self._prepare()
        return self._cameras.film(self._data, _camera(view), height, width, MARKS)

    def _prepare(self) -> None:
        """Environments of gymnasium-robotics move their goals' marks here."""
        getattr(self._environment.unwrapped, "_render_callback", lambda: None)()

    def _own(self, height: int, width: int) -> np.ndarray:
        picture: Any = self._environment.render()
        if not isinstance(picture, np.ndarray) or picture.ndim != 3:
            raise InputError(f"{self._environment} draws no picture in the mode rgb_array; take gym-states:<id>")
        return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))


def _camera(view: Any) -> Any:
    if isinstance(view, str):
        return view
    camera = mujoco.MjvCamera()
    for key, value in view.items():
        setattr(camera, key, value)
    return camera
