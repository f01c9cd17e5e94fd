"""A world as a Gymnasium environment: `gymnasium.make("sim:midstream/Tabletop-v0", task="open_drawer")`."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from policy.errors import unknown
from sim.initial_states import start
from sim.worlds import DEFAULT, load
from sim.worlds.interface import RATE

Observation = dict[str, Any]  # arrays, as gymnasium.spaces.Dict types them


class Environment(gymnasium.Env[Observation, np.ndarray]):
    """One task of a world; all tasks share the scene, so only the instruction tells them apart.

    Observation: image_<camera> uint8 (H, W, 3) RGB; state float32 (S,). Action float32 (A,): set-points within the
    limits of the contract. On the table: 7 joint positions [rad], gripper opening [m]. Reward 1 while the task is done,
    else 0; success does not terminate an episode (it must hold), `max_episode_steps` truncates it.
    `info`: instruction, success, contact. `reset(options={"start": "other"})` begins where another task ended
    (sim.initial_states).
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": RATE}  # noqa: RUF012  Env has it so

    def __init__(self, world: str = DEFAULT, task: str = "open_drawer", render_mode: str | None = None) -> None:
        kind = load(world)
        if task not in kind.tasks:
            raise unknown("task", task, kind.tasks)
        self.world, self.task, self.render_mode = kind(), kind.tasks[task], render_mode
        contract = kind.contract()
        self.action_space = spaces.Box(contract.limits.low, contract.limits.high)
        images = {
            f"image_{camera}": spaces.Box(0, 255, (*size, 3), np.uint8)
            for camera, size in contract.spec.cameras.items()
        }
        state = spaces.Box(-10.0, 10.0, (len(contract.spec.state),), np.float32)
        self.observation_space = spaces.Dict(images | {"state": state})
        self._instruction = ""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        start(self.world, self.task, int(self.np_random.integers(2**31)), (options or {}).get("start", "home"))
        phrasings = self.task.phrasings
        self._instruction = phrasings[self.np_random.integers(len(phrasings))]
        return self._observe(), self._info()

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        self.world.step(action)
        info = self._info()
        return self._observe(), float(info["success"]), False, False, info

    def render(self) -> np.ndarray | None:
        return self.world.render(self.world.show_camera, 480, 640) if self.render_mode == "rgb_array" else None

    def _observe(self) -> Observation:
        frame = self.world.frame()
        return {f"image_{name}": image for name, image in frame.images.items()} | {"state": frame.state}

    def _info(self) -> dict[str, Any]:
        return {
            "instruction": self._instruction,
            "success": self.task.success(self.world),
            "contact": self.world.contact,
        }
