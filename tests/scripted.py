"""Policies without a network, for tests of what drives them."""

from typing import ClassVar

import numpy as np

from policy.errors import InputError
from policy.robot.contract import load
from policy.spec import Chunk, ExecutionEstimate, Frame
from sim.kinematics import Kinematics
from sim.tasks import TASKS, Expert
from sim.world import World


class Script:
    """Answers a frame with the expert's next set-point: what a perfect policy would do.

    It knows what was left unfinished, never says that it is done, and tells the mode `upset` from the second
    instruction on.
    """

    finished = False

    def __init__(self, world: World, upset: str = "forward") -> None:
        self.contract = load("tabletop")
        self.spec = self.contract.spec
        self.instruction = self.frames = 0
        self.text = self.unfinished = ""
        self._world, self._upset = world, upset

    def reset(self) -> None:
        self.text = self.unfinished = ""

    def instruct(self, text: str) -> int:
        before, self.text = self.text, self.unfinished if text == "continue" else text
        self.unfinished = before
        self._mode = self._upset if before else "forward"
        task = next(t for t in TASKS.values() if self.text in (*t.phrasings, *t.reworded))
        self._expert, self._last = Expert(self._world, task.motion(self._world), Kinematics()), self._world.setpoint()
        self.instruction += 1
        return self.instruction

    def infer(self, frame: Frame) -> Chunk:
        self.frames += 1
        action = self._expert.act()
        self._last = self._last if action is None else action
        actions = np.tile(np.asarray(self._last, np.float32), (self.spec.horizon, 1))
        return Chunk(frame.stamp, self.spec.dt_ns, actions, self.instruction, ExecutionEstimate(0.0, self._mode, 0.0))


class Levels:
    """Wants the first joint at one level for each instruction, and knows no other than "one" and "two"."""

    level: ClassVar[dict[str, float]] = {"one": 0.02, "two": -0.02}  # rad

    def __init__(self) -> None:
        self.contract = load("tabletop")
        self.spec = self.contract.spec
        self.instruction, self.text = 0, ""

    def reset(self) -> None:
        self.text = ""

    def instruct(self, text: str) -> int:
        if text == "continue":
            raise InputError("nothing is unfinished")
        self.instruction += 1
        self.text = text if text in self.level else ""
        if not self.text:
            raise InputError("unknown instruction")
        return self.instruction

    def infer(self, frame: Frame) -> Chunk:
        actions = np.tile(frame.state, (self.spec.horizon, 1))
        actions[:, 0] = self.level[self.text]
        return Chunk(frame.stamp, self.spec.dt_ns, actions, self.instruction)
