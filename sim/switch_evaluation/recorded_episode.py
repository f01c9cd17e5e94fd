"""An episode whose instruction may change, recorded step by step."""

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from policy.running.session import Session
from sim.rollout import SimulatedLoop
from sim.switch_evaluation.methods import Method
from sim.trace import Trace
from sim.worlds.interface import World

DELAY = 100_000_000  # ns of the simulated clock that an inference takes


class RecordedEpisode:
    """A policy in control, from its first instruction on; `watch(episode)` is called after each control step.

    `seed` is that of the policy's noise: an episode and its counterfactual share one.
    """

    def __init__(
        self,
        world: World,
        session: Session,
        instruction: str,
        method: Method,
        seed: int,
        watch: Callable[["RecordedEpisode"], None] | None = None,
    ) -> None:
        self.world, self.robot = world, SimulatedLoop(world, session, DELAY, seed=seed)
        self.instructions = [instruction]
        measured, held = self.robot.session.contract.measured, world.setpoint()
        self.begun_at = np.where(measured < 0, held, world.state()[measured])  # (A,)
        self.setpoints: list[np.ndarray] = []  # (A,) behind the safety monitor
        self.serves_newest: list[bool] = []  # whether that set-point serves the newest instruction
        self.policy_serves: list[bool] = []  # and whether it is the policy's, not one of the method's script
        self.interventions = Counter[str]()  # limit or reason of a hold -> control steps, of the whole episode
        self.contact: list[bool] = []
        self.trace = Trace(self.robot)
        self.mode_steps = Counter[str]()  # control steps in each estimated mode, since the newest instruction
        self._method, self._watch = method, watch
        self._override: Iterator[bool] = iter(())
        self.robot.instruct(instruction)

    def instruct(self, instruction: str) -> None:
        """Change the instruction, by the method, from the next control step on."""
        self.instructions.append(instruction)
        self.mode_steps = Counter()
        self._override = self._method(self.robot, instruction)

    def step(self) -> None:
        """One control step: the method's while it is in control, else the policy's."""
        serves, scripted = next(self._override, None), True
        if serves is None:
            self.robot.step()
            serves, scripted = self.robot.serves_newest, False
        self.serves_newest.append(serves)
        self.policy_serves.append(serves and not scripted)
        self.interventions.update(self.robot.intervened)
        self.setpoints.append(self.robot.command)
        self.contact.append(self.world.contact)
        self.trace.step()
        estimate = self.robot.loop.estimate
        if estimate is not None and self.robot.serves_newest:
            self.mode_steps[estimate.mode] += 1
        if self._watch is not None:
            self._watch(self)
