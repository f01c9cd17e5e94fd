"""The robot in simulation, in real time and in a thread of its own, as the page's other end.

    server's thread   a command --> jobs --+
    this thread       | step | publish | render | jobs | step | publish | render | ...    one each 50 ms

The world, its renderers and the control loop belong to this thread alone.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

import numpy as np

from console.backend import Feed
from console.operated_loop import STOPPED, OperatedLoop
from console.scene import Scene, choices
from console.simulated_state import Meter, describe, paths
from policy.errors import InputError, unknown
from policy.running.session import Session
from sim.worlds.interface import STEP_NS, World

HEIGHT = 288  # pixels of a picture
LATE = 0.2  # s behind real time, above which the simulation goes on from now
ANSWER = 60.0  # s that a command may take: a scene is laid out by experts
DT = STEP_NS * 1e-9


class Simulation:
    """Runs from the start on until `close`; `InputError` where the scene cannot be simulated with this policy."""

    def __init__(self, session: Session, scene: Scene, model: str) -> None:
        self._session, self._model = session, model
        self._choices = choices(session)
        self._kind = scene.check(session)
        self._scene, self._worlds = scene, {*self._choices["worlds"], scene.world}
        self.feed = Feed()
        self.commands: dict[str, Callable[..., str]] = {
            "instruct": lambda text: self._do(lambda: self._robot.instruct(text), text),
            "continue": lambda: self._do(lambda: self._robot.instruct("continue"), "continue"),
            "stop": lambda: self._do(lambda: self._robot.instruct("stop"), "stop"),
            "emergency_stop": lambda: self._do(lambda: self._robot.emergency_stop(), "emergency stop"),
            "reset": lambda: self._do(lambda: self._robot.reset(), "reset"),
            "take_over": lambda: self._do(lambda: self._robot.take_over(), "takes over from the policy"),
            "give_back": lambda: self._do(lambda: self._robot.give_back(), "gives back to the policy"),
            "move": lambda joint, share: self._do(lambda: self._robot.move(joint, share), joint),
            "push": lambda: self._do(lambda: self._robot.push(), "pushes the arm"),
            "scene": self._change_scene,
        }
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._closed = False
        self._ended = ""  # why there is no simulation any more
        self._meter = Meter()
        self._world: World | None = None
        self._robot: OperatedLoop
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="simulation", daemon=True)
        self._thread.start()
        ready.result()

    def description(self) -> dict[str, Any]:
        """Model, joints, cameras, sentences and what can be chosen."""
        spec = self._session.spec
        sentences = self._session.taught or [(n, t.phrasings[0]) for n, t in self._kind.tasks.items()]
        return {
            "backend": "simulation",
            "model": self._model,
            "joints": list(spec.action),
            "cameras": {name: {"height": h, "width": w} for name, (h, w) in spec.cameras.items()},
            "sentences": [{"task": task, "text": text} for task, text in sentences],
            "choices": self._choices,
        }

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._jobs.put(lambda: None)
        self._thread.join(ANSWER)

    # -- from other threads

    def _do(self, what: Callable[[], None], said: str) -> str:
        """Have something done between two control steps, and wait for it."""
        done: Future[None] = Future()

        def job() -> None:
            try:
                what()
                done.set_result(None)
            except InputError as error:
                done.set_exception(error)
            except Exception as error:  # it ends the simulation, and whoever asked learns why
                done.set_exception(InputError(f"{type(error).__name__}: {error}"))
                raise

        if self._ended:
            raise InputError(self._ended)
        self._jobs.put(job)
        try:
            done.result(ANSWER)
        except TimeoutError:
            raise InputError(self._ended or f"the simulation gives no answer within {ANSWER:g} s") from None
        return said

    def _change_scene(self, **chosen: Any) -> str:
        scene = Scene(**chosen)
        if scene.world not in self._worlds:  # a name may be that of a module, which would be imported
            raise unknown("world", scene.world, self._worlds)
        kind = scene.check(self._session)

        def begin() -> None:
            if self._robot.monitor.stopped:
                raise InputError(STOPPED)
            self._lay_out(kind, scene)

        self._do(begin, "")
        return f"begins anew: {scene.world}, seed {scene.seed}" + (f", {scene.task}" if scene.task else "")

    # -- in the simulation's thread, which alone has the world and its renderers

    def _run(self, ready: "Future[None]") -> None:
        try:
            self._lay_out(self._kind, self._scene)
        except Exception as error:  # whatever a simulator raises is raised to whoever starts it
            return ready.set_exception(error)
        ready.set_result(None)
        due = monotonic()
        try:
            while not self._closed:
                self._serve(due)
                self._robot.step()
                self._publish()
                due = max(due + DT, monotonic() - LATE)
        except Exception as error:  # it is shown, as nobody looks at this thread
            self._ended = f"the simulation has ended: {type(error).__name__}: {error}"
            self.feed.publish(describe(self._robot, self._scene, self._meter, watched=False, fault=self._ended))
            raise

    def _serve(self, due: float) -> None:
        """Do what is asked for until the next control step is due."""
        while True:
            try:
                self._jobs.get(timeout=max(0.0, due - monotonic()))()
            except Empty:
                return

    def _lay_out(self, kind: type[World], scene: Scene) -> None:
        """Begin anew; what takes long the first time is done before the clock begins."""
        world = self._world
        if world is None or type(world) is not kind:
            world = kind()
            scene.lay_out(world)
            self._render(world)
            paths(world, list(self._session.spec.cameras), world.setpoint()[None])
        else:
            scene.lay_out(world)
        self._world, self._kind, self._scene = world, kind, scene
        delay = round(scene.latency_ms * 1e6)
        self._robot = OperatedLoop(world, self._session, delay, scene.schedule or None, scene.seed)

    def _publish(self) -> None:
        """What there is now; pictures after it, as they take longest."""
        world = self._robot.simulated
        self._meter.stepped(world.time_ns)
        watched = self.feed.watched
        self.feed.publish(describe(self._robot, self._scene, self._meter, watched))
        if watched:
            self._render(world)

    def _render(self, world: World) -> None:
        for camera, (height, width) in self._session.spec.cameras.items():
            picture = world.render(camera, HEIGHT, round(HEIGHT * width / height))
            self.feed.show(camera, world.filtered(np.array(picture)))
