"""The benchmark itself: scenes, mocap control, success and experts are its own, untouched.

Each task has a scene, which is loaded when it is first asked for; the last few stay loaded.
"""

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from policy.errors import InputError
from sim.worlds.cameras import MARKS, Cameras

SUFFIX = "-v3"
LOADED = 4  # scenes; one with its renderers takes 150 MB
CAMERA, PLACE = "corner2", (0.75, 0.075, 0.7)  # m: nearer to the table than the benchmark has it
INSTALL = "pip install --no-deps metaworld==3.1.1"  # it asks for another MuJoCo, and runs with ours
ROBOT = "base"  # the body that the robot's others hang on


class Scene:
    """The scene of one task, with its expert and its renderers."""

    def __init__(self, name: str) -> None:
        environments, experts = _packages()
        self.env: Any = environments[name + SUFFIX]()
        self.env._partially_observable = False  # the expert sees where the goal is
        self.env.__dict__.pop("sawyer_observation_space", None)  # which depends on it
        self.env._freeze_rand_vec, self.env.seeded_rand_vec, self.env._set_task_called = False, True, True
        self.act: Callable[[np.ndarray], np.ndarray] = experts[name + SUFFIX]().get_action
        self.model, self.data = self.env.model, self.env.data
        self.model.vis.quality.offsamples = 0
        self.model.cam_pos[self.model.camera(CAMERA).id] = PLACE
        self._cameras = Cameras(self.model)
        robot = self.model.body_rootid == self.model.body(ROBOT).id
        parts = [self.model.body(i).name.endswith(("claw", "pad")) for i in range(self.model.nbody)]
        self._fingers = np.array(parts)[self.model.geom_bodyid]
        self._movable = ((self.model.body_weldid != 0) & ~robot)[self.model.geom_bodyid]

    def reset(self, seed: int) -> np.ndarray:
        """Draw a layout; what an expert observes (39,)."""
        self.env.seed(seed)
        observed, _ = self.env.reset()
        return np.asarray(observed)

    def render(self, height: int, width: int) -> np.ndarray:
        """RGB uint8 (height, width, 3), with the goals where the benchmark draws them as dots."""
        self._place_goals()
        return self._cameras.render(self.data, CAMERA, height, width, MARKS)

    def film(self, height: int, width: int) -> np.ndarray:
        """The same, antialiased and with shadows."""
        self._place_goals()
        return self._cameras.film(self.data, CAMERA, height, width, MARKS)

    def _place_goals(self) -> None:
        """The benchmark's own step computes them anew, and loses where they were put."""
        for site in self.env._target_site_config:
            self.env._set_pos_site(*site)

    def touches(self) -> bool:
        """Whether the fingers touch something that moves."""
        first, second = self.data.contact.geom.T
        fingers, movable = self._fingers, self._movable
        return bool((fingers[first] & movable[second] | movable[first] & fingers[second]).any())

    def close(self) -> None:
        """Give the renderers back."""
        self._cameras.close()


class Scenes:
    """The scenes by the names of their tasks; the last few that were used stay loaded."""

    def __init__(self) -> None:
        self._loaded: dict[str, Scene] = {}

    def __getitem__(self, name: str) -> Scene:
        scene = self._loaded.pop(name, None) or Scene(name)
        self._loaded[name] = scene
        if len(self._loaded) > LOADED:
            self._loaded.pop(next(iter(self._loaded))).close()
        return scene


@lru_cache(1)
def _packages() -> tuple[dict[str, Any], dict[str, Any]]:
    """The classes of environments and of experts, by their names in the benchmark."""
    try:
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS
        from metaworld.policies import ENV_POLICY_MAP
    except ImportError as error:
        raise InputError(
            f"the world metaworld needs the Meta-World benchmark, which this Python has not ({error}); "
            f"install it with `{INSTALL}`"
        ) from None
    warnings.filterwarnings("ignore", "Constant.s. may be too high")  # its experts, at every step
    return ALL_V3_ENVIRONMENTS, ENV_POLICY_MAP
