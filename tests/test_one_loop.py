"""One recorded sequence of events through both drivers of the control loop: the robot's and the simulator's.

frames, instructions, inference times, faults ---> LiveLoop (thread)   -> SafetyMonitor -> TrajectoryController
                                              \\--> SimulatedLoop       -> SafetyMonitor -> TrajectoryController
"""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy.errors import InputError
from policy.robot.trajectory_controller import TrajectoryController
from policy.running.live_loop import LiveLoop
from policy.running.plan import Plan
from policy.running.safety import SafetyMonitor
from policy.running.session import Session
from policy.running.work import Embedding
from policy.spec import Frame
from sim.rollout import SimulatedLoop
from tests.tiny import TAUGHT, write_model

DELAY = 2  # control steps that an inference takes
STEPS = 120
LONG = 30.0


@dataclass(frozen=True)
class Events:
    """What happens before which control step."""

    instructions: dict[int, str]
    faults: frozenset[int]  # a sensor's fault is seen
    stops: frozenset[int]  # stop and reset of the monitor
    brightness: np.ndarray  # (STEPS,) of the first camera: how fast the tiny model moves


def events(seed: int) -> Events:
    rng = np.random.default_rng(seed)
    at = np.sort(rng.choice(np.arange(2, STEPS - 20), 7, replace=False)).tolist()
    texts = [*rng.permutation(TAUGHT).tolist(), "continue", "make coffee", TAUGHT[0]]
    return Events(
        {0: TAUGHT[1], **dict(zip(at, texts, strict=True))},
        frozenset(rng.choice(STEPS, 3, replace=False).tolist()),
        frozenset(rng.choice(STEPS, 2, replace=False).tolist()),
        rng.integers(0, 255, STEPS),
    )


class Arm:
    """A world without physics: the arm is where its last set-point was."""

    def __init__(self, session: Session, script: Events) -> None:
        self.session, self.script, self.k = session, script, 0
        self.position = np.zeros(len(session.spec.action), np.float32)

    @property
    def time_ns(self) -> int:
        return self.k * self.session.spec.dt_ns

    def frame(self) -> Frame:
        images = {n: np.full((h, w, 3), 255, np.uint8) for n, (h, w) in self.session.spec.cameras.items()}
        first = next(iter(images))
        images[first][:] = self.script.brightness[min(self.k, STEPS - 1)]
        for i, image in enumerate(images.values()):
            image[-1, -1] = (self.k + i) % 256  # no camera is frozen
        return Frame(self.time_ns, images, self.state())

    def state(self) -> np.ndarray:
        return self.position.copy()

    def setpoint(self) -> np.ndarray:
        return self.position.astype(float)

    def step(self, command: np.ndarray) -> None:
        self.position, self.k = np.asarray(command, np.float32), self.k + 1


def simulated(session: Session, script: Events) -> np.ndarray:
    """Set-points (STEPS, A) of the simulator's driver."""
    arm = Arm(session, script)
    driver = SimulatedLoop(arm, session, DELAY * session.spec.dt_ns, seed=0)  # type: ignore[arg-type]  # it asks for no physics
    sent = []
    for k in range(STEPS):
        if k in script.instructions:
            driver.instruct(script.instructions[k])
        if k in script.faults:
            driver.loop.fault("camera front is silent", arm.time_ns)
        if k in script.stops:
            for plan in driver.monitor.stop("on request", arm.time_ns):
                driver._send(plan)
            driver.monitor.reset()
        driver.step()
        sent.append(driver.command)
    return np.array(sent)


class Gate:
    """Lets an inference of the live loop return when its time on the test's clock has passed."""

    def __init__(self, session: Session) -> None:
        self._run, self._passed = session.run, threading.Semaphore(0)
        self.begun = threading.Event()

    def run(self, feed: dict[str, np.ndarray]) -> Any:
        outputs = self._run(feed)
        self.begun.set()
        assert self._passed.acquire(timeout=LONG)
        return outputs

    def let_pass(self) -> None:
        self.begun.clear()
        self._passed.release()


def live(session: Session, script: Events, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Set-points (STEPS, A) of the robot's driver: its thread, a clock under the test's hand, the same monitor."""
    arm, spec, gate = Arm(session, script), session.spec, Gate(session)
    monitor, published = SafetyMonitor(session.contract), list[tuple[np.ndarray, np.ndarray]]()
    controllers = {
        topic: TrajectoryController(joints, position, 0)
        for topic, joints, position in session.contract.split(arm.setpoint())
    }

    def send(plans: list[Plan]) -> None:
        for plan in plans:
            points, speeds = plan.in_robot_units()
            times, joints = plan.times - plan.stamp, list(plan.controller.joints)
            follow = controllers[plan.controller.topic].command
            assert follow(joints, times, points, speeds, plan.stamp, arm.time_ns) is None

    monkeypatch.setattr(session, "run", gate.run)
    loop = LiveLoop(
        session, lambda: arm.time_ns, lambda now, times, actions: published.append((times, actions)), stale_s=LONG
    )
    monkeypatch.setattr(loop.loop, "finish", timed(loop.loop.finish, DELAY * spec.dt_ns * 1e-9))
    sent, ready = [], -1

    def settle() -> None:
        """Until the thread waits: for an inference that is not over yet, or for an event."""
        end = time.monotonic() + LONG
        while True:
            with loop._wake:
                if gate.begun.is_set() or not (loop._event or loop.loop._busy or (loop.loop.urgent and loop.loop.text)):
                    return
            assert time.monotonic() < end
            time.sleep(0.0005)

    for k in range(STEPS):
        was_busy = gate.begun.is_set()
        with loop._wake:  # all of it happens at one instant
            loop.observe(arm.frame())
            if k in script.instructions:
                with suppress(InputError):  # refused at once: both drivers go on with the former one
                    loop.instruct(script.instructions[k])
            if k in script.faults:
                loop.fault("camera front is silent")
        if k in script.stops:
            send(monitor.stop("on request", arm.time_ns))
            monitor.reset()
        if ready == k:
            gate.let_pass()
        settle()
        if gate.begun.is_set() and (not was_busy or ready == k):
            ready = k + DELAY
        monitor.measured(arm.state(), arm.time_ns)
        send(monitor.watch(arm.time_ns, arm.time_ns))
        if len(loop.loop.set_points(arm.time_ns)[0]):
            send(monitor.command(*published[-1], arm.time_ns, arm.time_ns))
        command = session.contract.join(
            [(topic, c.joints, c.at(arm.time_ns + spec.dt_ns)) for topic, c in controllers.items()]
        )
        sent.append(command)
        arm.step(command)
    gate._passed.release(10)
    loop.close()
    return np.array(sent)


def timed(finish: Any, seconds: float) -> Any:
    """`InferenceLoop.finish` with the time that an inference takes on the test's clock."""

    def on_the_clock(work: Any, now: int, took_s: float, error: Exception | None = None) -> None:
        finish(work, now, 0.0 if isinstance(work, Embedding) else seconds, error)

    return on_the_clock


@pytest.mark.parametrize("seed", range(6))
def test_both_drivers_send_the_same_set_points(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "model", ramp=0.02, switches=True)
    script = events(seed)
    in_simulation = simulated(Session(tmp_path / "model", 1, "cpu"), script)
    on_the_robot = live(Session(tmp_path / "model", 1, "cpu"), script, monkeypatch)
    np.testing.assert_allclose(on_the_robot, in_simulation, rtol=0, atol=1e-6)
    assert np.ptp(in_simulation[:, 0]) > 0.1, "and the arm moves"
