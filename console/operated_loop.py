"""The control loop of a simulated robot with an operator: emergency stop, a push, and what was refused."""

from collections import deque
from time import perf_counter
from typing import Any, cast

import numpy as np

from console.committed import Committed
from console.jog import Jog
from policy.errors import InputError
from policy.robot.instructions import stops
from policy.running.loop import KEPT
from policy.running.plan import Plan
from policy.running.session import Session
from policy.running.work import Inference, Work
from sim.disturbance import LASTING, SHOVE
from sim.rollout import SimulatedLoop
from sim.worlds.interface import World

NOT_TAKEN = "the policy is in control: take over first"
STOPPED = "the emergency stop is engaged: reset it first"


class Pushed:
    """A world whose arm is pushed: what the actuators get is not what was commanded, for some control steps."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self._world, self._rng, self._left = world, rng, 0
        self._push = np.zeros(len(world.grippers))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)

    def push(self) -> None:
        """Push in a random direction, from the next control step on."""
        direction = np.where(self._world.grippers, 0.0, self._rng.normal(size=len(self._push)))
        self._push = direction / np.linalg.norm(direction) * SHOVE * np.sqrt(len(direction))
        self._left = LASTING[0]

    def step(self, action: np.ndarray) -> None:
        """One control step."""
        self._left = max(0, self._left - 1)
        self._world.step(action, self._push if self._left else None)


class OperatedLoop(SimulatedLoop):
    """As `SimulatedLoop`, for a person.

    `committed` is what the controllers have been given, `simulated` the world without the pushes.
    """

    def __init__(self, world: World, session: Session, delay_ns: int, schedule: str | None, seed: int) -> None:
        self.simulated, self._pushed = world, Pushed(world, np.random.default_rng(seed))
        super().__init__(cast(World, self._pushed), session, delay_ns, schedule, seed=seed)
        self.committed = Committed(len(session.spec.action), session.spec.dt_ns)
        self.inference_s: deque[float] = deque(maxlen=KEPT)  # real seconds, whatever time they take in the simulation
        self._asked = ""  # since the last reset
        self._jog: Jog | None = None  # while a person is in control

    @property
    def corrected(self) -> bool:
        """Whether a person is in control, and the policy looks on."""
        return self._jog is not None

    def step(self) -> None:
        """One control step, of the person or of the policy."""
        self.look()
        if self._jog is None:
            self.follow_schedule()
        else:
            self.drive(self._jog.advance(self.world.time_ns * 1e-9, self._dt * 1e-9))

    def take_over(self) -> None:
        """A person is in control from now on; `InputError` while the emergency stop is engaged."""
        if self.monitor.stopped:
            raise InputError(STOPPED)
        self._jog = self._jog or Jog(self.session.contract, self.command)

    def move(self, joint: str, share: float) -> None:
        """The person moves a joint, as `Jog.move`; `InputError` where nobody has taken over, or the arm is stopped."""
        if self._jog is None:
            raise InputError(NOT_TAKEN)
        if self.monitor.stopped:
            raise InputError(STOPPED)
        self._jog.move(joint, share, self.world.time_ns * 1e-9)

    def give_back(self) -> None:
        """The policy is in control again."""
        if self._jog is None:
            raise InputError(NOT_TAKEN)
        self._jog = None
        super().give_back()

    def instruct(self, text: str) -> None:
        """Change the instruction; `InputError` while the emergency stop is engaged."""
        if self.monitor.stopped:
            raise InputError(STOPPED)
        self._asked = text
        super().instruct(text)
        if self._jog is not None and stops(text):
            self.give_back()  # it holds what the person drives, too

    @property
    def refusal(self) -> str:
        """Why the newest instruction was refused, "" if it was not."""
        return self._refused or ("" if self.loop.idle or not self._asked else self.refused)

    def push(self) -> None:
        """Push the arm."""
        self._pushed.push()

    def emergency_stop(self) -> None:
        """Brake at once and stay, whatever is asked for, until `reset`; the instruction is forgotten."""
        now = self.world.time_ns
        for plan in self.monitor.estop(True, now):
            self._send(plan)
        self._forget("stopped by the emergency stop")

    def reset(self) -> None:
        """Release a stop and forget the instruction; the arm rests until the next one."""
        if self._jog is not None:
            self._jog.begin(self.command)
        self.monitor.estop(False, self.world.time_ns)
        if self.monitor.stopped:
            self.monitor.reset()
        self._forget()

    def _forget(self, *reason: str) -> None:
        self.loop.reset(self.world.time_ns, *reason)
        self.interventions, self._refused, self._asked = {}, "", ""

    def _run(self, work: Work, now: int) -> None:
        began = perf_counter()
        super()._run(work, now)
        if isinstance(work, Inference):
            self.inference_s.append(perf_counter() - began)

    def _send(self, plan: Plan) -> None:
        self.committed.take(plan.controller.topic, plan.controller.columns, plan.times, plan.points)
        super()._send(plan)
