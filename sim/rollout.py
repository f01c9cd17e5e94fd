"""The robot's control loop on the simulated clock: frame -> chunk -> schedule -> safety monitor -> controller -> world.

What runs here is what runs on a robot (policy/running): only the clock is simulated, and an inference takes a given
time of it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from policy.errors import InputError
from policy.robot.trajectory_controller import TrajectoryController
from policy.running.loop import InferenceLoop
from policy.running.plan import Plan
from policy.running.safety import SafetyMonitor
from policy.running.session import Session
from policy.running.work import Embedding, Work
from sim.worlds.interface import Task, World

Watch = Callable[[], None]
AHEAD = 6  # control steps for which a person's set-point is given


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one instruction."""

    success: bool
    steps: int  # control steps taken
    interventions: dict[str, int]  # limit or reason of a hold -> control steps


class SimulatedLoop:
    """A policy in control of a world; the instruction may change at any time.

    An inference takes `delay_ns` of the simulated clock, rounded up to whole control steps; meanwhile the former
    chunk goes on. As on the robot there is one inference at a time, and it is not aborted. `schedule` as in
    `InferenceLoop`; `seed`, an episode's own, is that of the noise of a head that samples.
    """

    def __init__(
        self, world: World, session: Session, delay_ns: int = 0, schedule: str | None = None, *, seed: int
    ) -> None:
        self.world, self.session = world, session
        self.loop = InferenceLoop(session, world.frame, schedule=schedule, seed=seed)
        self.monitor = SafetyMonitor(session.contract)
        self.interventions: dict[str, int] = {}  # since the newest instruction
        self.intervened: list[str] = []  # in the newest control step
        self.command = world.setpoint()  # (A,) the set-point sent last
        self.instruction = ""  # the newest one, refused or not
        self._dt = session.spec.dt_ns
        self._delay = -(-delay_ns // self._dt) * self._dt
        self._in_flight: tuple[Work, int] | None = None  # and when it is done [ns]
        self._refused = ""
        streamed = {c.topic for c in session.contract.controllers if c.streamed}
        self._controllers = {
            topic: TrajectoryController(joints, position, world.time_ns)
            for topic, joints, position in session.contract.split(self.command)
            if topic not in streamed
        }

    @property
    def refused(self) -> str:
        """Why the newest instruction was refused, "" if it was not."""
        loop = self.loop
        return self._refused or ("" if loop.text or loop.pending else loop.reason)

    @property
    def serves_newest(self) -> bool:
        """Whether the scheduled set-points serve the newest instruction."""
        return not self.loop.pending and bool(self.loop.text)

    @property
    def scheduled(self) -> bool:
        """Whether set-points are left."""
        return len(self.loop.set_points(self.world.time_ns)[0]) > 0

    def instruct(self, text: str) -> None:
        """Change the instruction: an inference begins at once, and the old chunk goes on only until its end.

        For a refused one `refused` says why; the arm rests, unless the old instruction is still in force.
        """
        self.instruction, self.interventions, self._refused = text, {}, ""
        try:
            self.loop.instruct(text, self.world.time_ns)
        except InputError as error:
            self._refused = str(error)

    def step(self) -> None:
        """One control step; a frame is rendered only for an inference."""
        self.look()
        self.follow_schedule()

    def look(self) -> None:
        """What the policy does in a control step beside moving: it takes what is computed, and looks again."""
        now = self.world.time_ns
        if self._in_flight is not None and self._in_flight[1] <= now:
            self._finish(self._in_flight[0], now)
        while self._in_flight is None and (work := self.loop.begin(now)) is not None:
            self._run(work, now)
            if not isinstance(work, Embedding):
                break

    def drive(self, action: np.ndarray) -> None:
        """One control step towards a set-point (A,) of a person or an expert, who corrects the policy.

        It is given for several steps, as no controller leaps, and what is on the way may be late.
        """
        times = self.world.time_ns + self._dt * np.arange(1, AHEAD + 1)
        self.follow(times, np.tile(np.asarray(action, float), (AHEAD, 1)))

    def give_back(self) -> None:
        """The policy is in control again: it begins with a new look, from where it was left."""
        self.loop.fault("control is given back", self.world.time_ns)

    def follow_schedule(self) -> None:
        """One control step towards the scheduled set-points."""
        self.follow(*self.loop.set_points(self.world.time_ns))

    def follow(self, times: np.ndarray, actions: np.ndarray) -> None:
        """One control step with set-points (N, A) at times (N,) ns, through safety monitor and controller."""
        now = self.world.time_ns
        self.monitor.measured(self.world.state(), now)
        for plan in self.monitor.watch(now, now):
            self._send(plan)
        for plan in self.monitor.command(times, actions, now, now) if len(times) else []:
            self._send(plan)
        self.intervened = [self.monitor.reason] if self.monitor.reason else self.monitor.met if len(times) else []
        for reason in self.intervened:
            self.interventions[reason] = self.interventions.get(reason, 0) + 1
        # The step that begins now ends one dt later: it works towards the set-point of that time.
        at = now + self._dt
        taken = {c.topic: values * c.scale + c.offset for c, values in self.monitor.streamed(at)}
        taken |= {topic: controller.at(at) for topic, controller in self._controllers.items()}
        contract = self.session.contract
        parts = [(topic, joints, taken.get(topic, last)) for topic, joints, last in contract.split(self.command)]
        self.command = contract.join(parts)
        self.world.step(self.command)

    def drop_chunk(self) -> None:
        """Discard the scheduled set-points and bring the arm to rest until the next chunk."""
        self.loop.fault("the chunk is dropped", self.world.time_ns)

    def perform(self, text: str, task: Task, watch: Watch | None = None) -> Outcome:
        """Follow one instruction until the success of `task` has held, or its time is over."""

        def step() -> None:
            self.step()
            if watch is not None:
                watch()

        self.instruct(text)
        with self.session.robot():  # others on this session wait for its inferences, but not while it lays out
            steps = steps_until_success(task, self.world, step, task.steps)
        return Outcome(steps is not None, steps or task.steps, self.interventions)

    def _run(self, work: Work, now: int) -> None:
        """Compute at once; the result of an inference is used when its time has passed."""
        error: Exception | None = None
        try:
            work.run()
        except InputError as raised:
            error = raised
        if isinstance(work, Embedding) or self._delay == 0 or error is not None:
            self._finish(work, now, error)
        else:
            self._in_flight = work, now + self._delay

    def _finish(self, work: Work, now: int, error: Exception | None = None) -> None:
        self._in_flight = None
        self.loop.finish(work, now, 0.0 if isinstance(work, Embedding) else self._delay * 1e-9, error)

    def _send(self, plan: Plan) -> None:
        """A plan to its controller, as the safety node sends it."""
        if plan.controller.streamed:
            return
        points, speeds = plan.in_robot_units()
        controller, joints = self._controllers[plan.controller.topic], list(plan.controller.joints)
        now, times = self.world.time_ns, plan.times - plan.stamp
        if rejected := controller.command(joints, times, points, speeds, plan.stamp, now):
            raise RuntimeError(f"the controller of {plan.controller.topic} rejects a plan: {rejected}")


def steps_until_success(task: Task, world: World, step: Callable[[], None], most: int) -> int | None:
    """Call `step` until success has held, as the world asks; the number of calls, None if `most` are not enough."""
    held = 0
    for done in range(1, most + 1):
        step()
        held = held + 1 if task.success(world) else 0
        if held == world.success_steps:
            return done
    return None
