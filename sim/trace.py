"""What happened in an episode, control step by control step, for people to look at."""

from typing import Any

import numpy as np

from sim.rollout import SimulatedLoop

Marks = list[list[Any]]  # [control step, value from then on]


class Trace:
    """Collects set-points, contact, mode and instruction of a loop; `step` is called after each control step."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self._actions: list[np.ndarray] = []
        self._marks: dict[str, Marks] = {name: [] for name in ("instruction", "mode", "contact", "estimated", "done")}

    def step(self) -> None:
        """Note what was commanded, under which instruction, and what world and policy make of it."""
        loop, estimate = self._loop, self._loop.loop.estimate
        self._mark("instruction", loop.instruction)
        self._mark("contact", int(loop.world.contact))
        self._mark("mode", estimate.mode if estimate is not None else "")
        self._mark("estimated", int(loop.loop.tracker.in_contact))
        self._mark("done", int(loop.loop.tracker.finished))
        self._actions.append(loop.command.copy())

    def curves(self) -> dict[str, Any]:
        """Set-points, T of A values, each other value with the control step since which it holds, why the newest
        instruction was refused."""
        actions = np.round(self._actions, 5).tolist()
        return {"actions": actions, "refused": self._loop.refused} | self._marks

    def _mark(self, name: str, value: Any) -> None:
        marks = self._marks[name]
        if not marks or marks[-1][1] != value:
            marks.append([len(self._actions), value])
