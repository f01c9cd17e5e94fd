"""The table as a Gymnasium environment: `gymnasium.make("sim:midstream/Tabletop-v0", task="open_drawer")`."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from policy.errors import unknown
from sim.initial_states import start
from sim.tasks import TASKS
from sim.world import CAMERAS, OPEN, RATE, SIZE, World

Observation = dict[str, Any]  # arrays, as gymnasium.spaces.Dict types them


class Tabletop(gymnasium.Env[Observation, np.ndarray]):
    """One task on the table; all tasks share the scene, so only the instruction tells them apart.

    Observation: image_front, image_wrist uint8 (96, 96, 3) RGB; state float32 (8,): 7 joint positions [rad], gripper
    opening [m]. Action float32 (8,): set-points of the same. Reward 1 while the task is done, else 0; success does not
    terminate an episode (it must hold), `max_episode_steps` truncates it.
    `info`: instruction, success, contact. `reset(options={"start": "other"})` begins where another task ended
    (sim.initial_states).
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": RATE}  # noqa: RUF012  Env has it so

    def __init__(self, task: str = "open_drawer", render_mode: str | None = None) -> None:
        if task not in TASKS:
            raise unknown("task", task, TASKS)
        self.task, self.render_mode = TASKS[task], render_mode
        self.world = World()
        joints = self.world.model.actuator_ctrlrange[:7]
        low, high = np.append(joints[:, 0], 0.0), np.append(joints[:, 1], OPEN)
        self.action_space = spaces.Box(low.astype(np.float32), high.astype(np.float32))
        image = spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
        self.observation_space = spaces.Dict(
            {f"image_{camera}": image for camera in CAMERAS} | {"state": spaces.Box(-10.0, 10.0, (8,), np.float32)}
        )
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
        return self.world.render("show", 480, 640) if self.render_mode == "rgb_array" else None

    def _observe(self) -> Observation:
        frame = self.world.frame()
        return {f"image_{c}": frame.images[c] for c in CAMERAS} | {"state": frame.state}

    def _info(self) -> dict[str, Any]:
        return {
            "instruction": self._instruction,
            "success": self.task.success(self.world),
            "contact": self.world.contact,
        }
