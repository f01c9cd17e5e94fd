"""What the page shows of a simulated robot: read from its control loop, safety monitor and world."""

from collections import deque
from time import monotonic
from typing import Protocol, runtime_checkable

import numpy as np

from console.backend import NO_POINTS, Points, State
from console.operated_loop import OperatedLoop
from console.scene import Scene
from policy.running.safety import SafetyMonitor
from sim.worlds.interface import World

STEPS = 40  # that the rates are of


@runtime_checkable
class ShowsHand(Protocol):
    """A world that knows where set-points put the hand in a picture."""

    def hand_path(self, camera: str, actions: np.ndarray) -> np.ndarray:
        """Set-points (N, A) -> (N, 2), shares of the picture's width and height from its upper left corner."""


class Meter:
    """How fast the simulation goes."""

    def __init__(self) -> None:
        self._at: deque[tuple[float, int]] = deque(maxlen=STEPS)  # real s, simulated ns

    def stepped(self, now: int) -> None:
        """A control step is done."""
        if self._at and now < self._at[-1][1]:
            self._at.clear()
        self._at.append((monotonic(), now))

    def rate(self) -> tuple[float, float]:
        """Control steps a second, and simulated seconds in a real one; 0 before there are two."""
        if len(self._at) < 2:
            return 0.0, 0.0
        (first, begin), (last, end) = self._at[0], self._at[-1]
        span = max(last - first, 1e-6)
        return (len(self._at) - 1) / span, (end - begin) * 1e-9 / span


def describe(robot: OperatedLoop, scene: Scene, meter: Meter, watched: bool, fault: str = "") -> State:
    """The state now; curves and paths only where somebody looks."""
    loop, tracker, world, now = robot.loop, robot.loop.tracker, robot.simulated, robot.simulated.time_ns
    estimate = loop.estimate
    planned = _planned(robot, now) if watched else NO_POINTS
    task = world.tasks[scene.task] if scene.task else None
    return State(
        time=now * 1e-9,
        instruction=loop.text,
        serves="" if loop.reason else loop.served,
        following=tuple(loop.following),
        completed=tuple(loop.completed),
        unfinished=tracker.unfinished,
        mode=estimate.mode if estimate else "",
        contact=estimate.contact if estimate else None,
        done=estimate.done if estimate else None,
        finished=tracker.finished,
        holding=loop.reason,
        idle=loop.idle,
        refused=robot.refusal,
        stopped=robot.monitor.stopped,
        corrected=robot.corrected,
        faults=_faults(robot.monitor, loop.reason, loop.idle, robot.refusal, fault),
        executed=_executed(robot) if watched else None,
        committed=robot.committed.ahead(now) if watched else NO_POINTS,
        planned=planned,
        paths=paths(world, list(robot.session.spec.cameras), planned.values) if watched else None,
        figures=_figures(robot, scene, meter) if watched else None,
        judged=None if task is None else task.success(world),
        scene=scene.shown(),
    )


def _planned(robot: OperatedLoop, now: int) -> Points:
    times, values = robot.loop.set_points(now)
    return Points((times - now) * 1e-9, values) if len(times) else NO_POINTS


def _executed(robot: OperatedLoop) -> np.ndarray:
    places = robot.session.contract.measured
    return np.where(places < 0, np.nan, robot.simulated.state()[places])


def paths(world: World, cameras: list[str], actions: np.ndarray) -> dict[str, np.ndarray]:
    """Where set-points (N, A) put the hand in each camera's picture; nothing where the world does not know."""
    if not isinstance(shows := world, ShowsHand) or not len(actions):
        return {}
    return {camera: shows.hand_path(camera, actions) for camera in cameras}


def _faults(monitor: SafetyMonitor, holding: str, idle: bool, refused: str, fault: str) -> tuple[str, ...]:
    """What is wrong: not that nothing is asked for, nor what is said as a refusal or a stop."""
    if monitor.stopped or idle or refused:
        return (fault,) if fault else ()
    return tuple(filter(None, (fault, holding or monitor.reason)))


def _figures(robot: OperatedLoop, scene: Scene, meter: Meter) -> dict[str, str]:
    steps, speed = meter.rate()
    loop = robot.loop
    return {
        "control": f"{steps:.0f} steps/s",
        "real time": f"{speed:.2f} x",
        "inference": _milliseconds(list(robot.inference_s)),
        "instruction to chunk": _milliseconds(list(loop.reaction_s)),
        "injected latency": f"{scene.latency_ms:.0f} ms",
        "schedule": loop.schedule,
        "inferences": str(loop.inferences),
        "outdated": str(loop.outdated),
    }


def _milliseconds(seconds: list[float]) -> str:
    """The median."""
    return f"{float(np.median(seconds)) * 1e3:.0f} ms" if seconds else "none yet"
