"""Policies without a network, each in the place of a `Session`."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import ClassVar

import numpy as np

from policy.errors import InputError
from policy.robot.contract import load
from policy.running.text import Sentence
from policy.spec import MODES, Frame, RuntimeSettings, Spec
from sim.worlds.tabletop.world import Tabletop
from tests.tiny import sentence

EVERY_STEP = RuntimeSettings(replan_s=0.05)


class ScriptedSession:
    """What the control loop needs of a session; the embedding of an instruction is its number."""

    tasks: tuple[str, ...] = ()  # it does not know what it was taught
    taught: tuple[tuple[str, str], ...] = ()

    def __init__(self, runtime: RuntimeSettings, switches: bool, contract: str = "tabletop") -> None:
        self.contract = load(contract)
        reads = ("state", "instruction", *(("previous_instruction",) if switches else ()))
        self.spec: Spec = replace(self.contract.spec, switches=switches, runtime=runtime, reads=reads)
        self.instructions: list[str] = []

    def robot(self) -> AbstractContextManager[None]:
        return nullcontext()

    def embed(self, text: str) -> Sentence:
        self.instructions.append(text)
        return sentence(text, np.array([len(self.instructions)], np.float32))

    def forget(self) -> None:
        """It remembers nothing of a robot."""

    def steps(self, text: str) -> tuple[Sentence, ...]:
        return (self.embed(text),)

    def observation(self, frame: Frame) -> dict[str, np.ndarray]:
        return {"state": frame.state[None]}


class ExpertSession(ScriptedSession):
    """Answers a frame with the expert's next set-point: what a perfect policy would do.

    It never estimates that it is done, and estimates the mode `after_switch` from the second instruction on.
    """

    def __init__(self, world: Tabletop, after_switch: str = "forward", runtime: RuntimeSettings = EVERY_STEP) -> None:
        super().__init__(runtime, switches=True, contract=world.contract_name)
        self.frames = 0
        self._world, self._after_switch = world, after_switch

    def embed(self, text: str) -> Sentence:
        task = next(t for t in self._world.tasks.values() if text in (*t.phrasings, *t.reworded))
        self._expert, self._last = task.expert(self._world), self._world.setpoint()
        return super().embed(text)

    def run(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.frames += 1
        self._last = next(self._expert, self._last)
        actions = np.tile(np.asarray(self._last, np.float32), (1, self.spec.horizon, 1))
        mode = self._after_switch if feed["previous_instruction"][0, 0] != feed["instruction"][0, 0] else "forward"
        return {"actions": actions, "execution_estimate": np.array([[0, 0, *(mode == m for m in MODES)]], np.float32)}


class LevelSession(ScriptedSession):
    """Moves the first joint to the level of its instruction; it knows only "one" and "two"."""

    level: ClassVar[dict[str, float]] = {"one": 0.02, "two": -0.02}  # rad

    def __init__(self) -> None:
        super().__init__(RuntimeSettings(), switches=False)

    def embed(self, text: str) -> Sentence:
        if text not in self.level:
            raise InputError("unknown instruction")
        return super().embed(text)

    def run(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        actions = np.tile(feed["state"], (self.spec.horizon, 1))
        actions[:, 0] = self.level[self.instructions[int(feed["instruction"][0, 0]) - 1]]
        return {"actions": actions[None]}
