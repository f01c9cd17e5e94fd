"""What the tests of the nodes share: a domain of their own, an executor, a robot without physics, a listener."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ.pop("ROS_LOCALHOST_ONLY", None)
rclpy = pytest.importorskip("rclpy", reason="install the extra `ros`")

from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.lifecycle import LifecycleNodeMixin  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import CompressedImage  # noqa: E402

from policy.robot.contract import load  # noqa: E402
from policy.robot.message_types import COMPRESSED  # noqa: E402
from policy.robot.trajectory_controller import TrajectoryController  # noqa: E402
from ros_nodes import arguments, bridge  # noqa: E402
from ros_nodes.domain import claim_domain  # noqa: E402
from ros_nodes.executor_thread import in_executor  # noqa: E402
from tests.tiny import tell  # noqa: E402

ROOT = Path(__file__).parent.parent
# What rclpy's executor may be waiting for while it goes.
DESTROYS = (*map("destroy_{}".format, ("client", "publisher", "service", "subscription", "timer")), "remove_waitable")
# What frees the parts of a lifecycle node that its callbacks use.
TRANSITIONS = tuple(map("trigger_{}".format, ("configure", "activate", "deactivate", "cleanup", "shutdown")))
LONG = 30.0  # s to wait for what takes a tenth of one on an idle machine


class Ears(Node):
    """Subscribes to topics and keeps their messages; calls services."""

    def __init__(self, context: Context) -> None:
        super().__init__("ears", context=context)
        self.heard: dict[str, list[Any]] = {}
        self.at: dict[str, list[float]] = {}

    def listen(self, topic: str, kind: type, qos: Any = 10) -> list[Any]:
        """The messages of a topic from now on; `at` has the monotonic time at which each arrived."""
        kept, times = self.heard.setdefault(topic, []), self.at.setdefault(topic, [])

        def keep(message: Any) -> None:
            times.append(time.monotonic())
            kept.append(message)

        self.create_subscription(kind, topic, keep, qos)
        return kept

    def call(self, name: str, kind: Any, **fields: Any) -> Any:
        """Call a service and wait for its answer."""
        client = self.create_client(kind, name)
        assert client.wait_for_service(LONG), f"no service {name}"
        future = client.call_async(kind.Request(**fields))
        until(future.done, f"no answer of {name}")
        return future.result()


class Robot(Node):
    """A robot without physics: joints follow the controllers at once, every image differs from the last.

    Attributes inject faults: `mute` topics publish nothing; `mangle` changes messages before they are published;
    `frozen` cameras repeat their image; `lag` is subtracted from all stamps. `tells` is the execution estimate that
    its images make a switching model of tests/tiny.py return. With `clock` it publishes /clock, which slows down with
    the machine, so that no message is late.
    """

    def __init__(
        self,
        context: Context,
        contract: str = "tabletop",
        rate: float = 20.0,
        start: np.ndarray | None = None,
        clock: bool = False,
    ) -> None:
        super().__init__("robot", context=context)
        self._time = 10**12 if clock else None  # ns, where the robot publishes the time
        self.contract = load(contract)
        spec = self.contract.spec
        low, high = self.contract.limits.low, self.contract.limits.high
        self.action = ((low + high) / 2 if start is None else start).astype(float)
        self.setpoints: list[tuple[float, np.ndarray]] = []  # monotonic s, (A,)
        self.rejected: list[str] = []
        self.mute: set[str] = set()
        self.frozen: set[str] = set()
        self.mangle: dict[str, Callable[[Any], Any]] = {}
        self.lag = 0.0
        self.shade = 255  # of the images
        self.tells: dict[str, Any] = {}
        self._still: dict[str, np.ndarray] = {}
        now = self._now()
        self.controllers = {}
        for topic, joints, position in self.contract.split(self.action):
            self.controllers[topic] = TrajectoryController(joints, position, now)
            self.create_subscription(
                bridge.message_class("trajectory_msgs/msg/JointTrajectory"),
                topic,
                lambda m, topic=topic: self._command(topic, m),
                bridge.COMMAND,
            )
        self._out = {
            topic: self.create_publisher(bridge.message_class(kind), topic, bridge.SENSOR_OUT)
            for topic, kind in self.contract.observed.items()
        }
        self._count = 0
        self._places = [spec.action.index(n) if n in spec.action else None for n in spec.state]
        if clock:
            self._step = round(0.2e9 / rate)
            self._clock_out = self.create_publisher(Clock, "/clock", 10)
            self.create_timer(0.2 / rate, self._tick, clock=bridge.STEADY)
        else:
            self.create_timer(1 / rate, self._look)
            self.create_timer(0.2 / rate, self._feel)

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds if self._time is None else self._time

    def _tick(self) -> None:
        assert self._time is not None
        self._time += self._step
        self._clock_out.publish(Clock(clock=bridge.stamp(self._time)))
        self._feel()
        if self._time // self._step % 5 == 0:
            self._look()

    def _command(self, topic: str, message: Any) -> None:
        self._obey(topic, message, self._now())

    def _obey(self, topic: str, message: Any, now: int) -> None:
        times, positions, speeds = bridge.points(message)
        why = self.controllers[topic].command(
            list(message.joint_names), times, positions, speeds, bridge.nanoseconds(message.header.stamp), now
        )
        if why:
            self.rejected.append(why)

    def _feel(self) -> None:
        now = self._now()
        self.action = self.contract.join([(t, c.joints, c.at(now)) for t, c in self.controllers.items()])
        self.setpoints.append((time.monotonic(), self.action.copy()))
        stamp = now - round(self.lag * 1e9)
        for topic in {s.topic for s in self.contract.state}:
            names: list[str] = []
            values: list[float] = []
            start = 0
            for s in self.contract.state:
                width = len(s.names or s.joints)
                if s.topic == topic:
                    for i, place in enumerate(self._places[start : start + width]):
                        value = self.action[place] if place is not None else 0.0
                        share = len(s.joints) if s.reduce == "sum" else 1
                        for joint in s.joints if share > 1 else (s.joints[i],):
                            names.append(joint)
                            values.append((value - s.offset) / s.scale / share)
                start += width
            zero = np.zeros(len(names))
            self._say(topic, bridge.joint_state(names, stamp, np.array(values), zero, zero))

    def _look(self) -> None:
        self._count += 1
        stamp = self._now() - round(self.lag * 1e9)
        for name, camera in self.contract.cameras.items():
            pixels = np.full((camera.height, camera.width, 3), self.shade, np.uint8)
            if self.tells and name == list(self.contract.cameras)[-1]:
                pixels = tell(pixels, **self.tells)
            pixels[-8:, -8:] = self._count % 251  # a block, as JPEG smooths a single one away
            if name in self.frozen:
                pixels = self._still.setdefault(name, pixels)
            else:
                self._still.pop(name, None)
            show = jpeg if camera.type == COMPRESSED else bridge.image
            self._say(camera.topic, show(pixels, stamp, name))

    def _say(self, topic: str, message: Any) -> None:
        if topic in self.mute:
            return
        if topic in self.mangle:
            message = self.mangle[topic](message)
        self._out[topic].publish(message)


def jpeg(pixels: np.ndarray, ns: int, frame: str) -> CompressedImage:
    """RGB uint8 (height, width, 3) as a camera driver compresses it."""
    done, packed = cv2.imencode(".jpg", pixels[..., ::-1])
    assert done
    message = CompressedImage(format="rgb8; jpeg compressed bgr8", data=packed.tobytes())
    message.header.stamp, message.header.frame_id = bridge.stamp(ns), frame
    return message


class Bench:
    """Nodes of one test in this process, spun by one thread, and in processes of their own, over real DDS."""

    def __init__(self) -> None:
        # a stop of the safety node survives its process there, and no other test's
        self._home = tempfile.TemporaryDirectory()
        os.environ["ROS_HOME"] = self._home.name
        self.domain = claim_domain()
        self.context = Context()
        rclpy.init(context=self.context, domain_id=self.domain.id)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.processes: list[subprocess.Popen[str]] = []
        self.ears = self.add(Ears(self.context))
        self.robot: Any = None  # for fixtures that keep their robot here
        self._on = True
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        self.spinning = self._thread.name

    def add(self, node: Any) -> Any:
        """Spin a node too: from then on, what it uses is destroyed in the thread that spins it alone."""
        for name in DESTROYS + TRANSITIONS * isinstance(node, LifecycleNodeMixin):
            setattr(node, name, self._in_its_thread(name, getattr(node, name)))
        self.executor.add_node(node)
        self.executor.wake()
        return node

    def node(self, kind: type, **parameters: Any) -> Any:
        """A node of ros_nodes in this process, with parameters."""
        return self.add(
            kind(
                context=self.context,
                parameter_overrides=[Parameter(name, value=value) for name, value in parameters.items()],
            )
        )

    def leave(self, node: Any) -> None:
        """End a node that was added."""

        def end() -> None:
            self.executor.remove_node(node)
            node.destroy_node()

        in_executor(self.ears, end)

    def forget(self, *made: Any) -> None:
        """End publishers, subscriptions and timers of `ears`."""
        ends = (self.ears.destroy_publisher, self.ears.destroy_subscription, self.ears.destroy_timer)

        def end() -> None:
            for one in made:
                assert any(destroy(one) for destroy in ends)

        in_executor(self.ears, end)

    def start(self, module: str, *remaps: str, **parameters: Any) -> subprocess.Popen[str]:
        """A node of ros_nodes in a process of its own."""
        given = arguments.parameters(parameters) + [w for r in remaps for w in ("-r", r)]
        process = subprocess.Popen(
            [sys.executable, "-m", f"ros_nodes.{module}", "--ros-args", *given],
            cwd=ROOT,
            text=True,
            env={**os.environ, "ROS_DOMAIN_ID": str(self.domain.id)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.processes.append(process)
        return process

    def publish(self, topic: str, kind: type, message: Any, qos: Any = 10) -> Any:
        """Publish once, after a subscription is there unless it is latched; the publisher is kept and returned."""
        publisher = self.ears.create_publisher(kind, topic, qos)
        if qos is not bridge.LATCHED:
            until(publisher.get_subscription_count, f"somebody subscribes to {topic}")
        publisher.publish(message)
        return publisher

    def close(self) -> None:
        """End processes, nodes and executor, and release the domain."""
        for process in self.processes:
            process.terminate()  # a killed one leaves shared memory behind
        for process in self.processes:
            try:
                process.communicate(timeout=LONG)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        nodes = self.executor.get_nodes()
        alive = self._thread.is_alive()
        self._on = False
        self._thread.join(LONG)
        for node in nodes:
            node.destroy_node()
        self.executor.shutdown()
        self.context.try_shutdown()
        self.domain.release()
        self._home.cleanup()
        assert alive, "an exception has ended the executor: no node of this process was heard after it"

    def _in_its_thread(self, name: str, destroy: Callable[..., Any]) -> Callable[..., Any]:
        def checked(*what: Any) -> Any:
            here = threading.current_thread()
            assert here is self._thread or not self._thread.is_alive(), (
                f"{name} in {here.name}, while {self.spinning} spins the node: what a callback uses may be gone"
            )
            return destroy(*what)

        return checked

    def _spin(self) -> None:
        while self._on:
            self.executor.spin_once(timeout_sec=0.1)


@contextmanager
def bench() -> Iterator[Bench]:
    """A bench that is closed."""
    made = Bench()
    try:
        yield made
    finally:
        made.close()


def until(true: Callable[[], Any], why: str, seconds: float = LONG) -> Any:
    """Wait until `true()` is true and return its value; fails with `why`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := true():
            return value
        time.sleep(0.02)
    raise AssertionError(f"{why} within {seconds} s")


def within_limits(robot: Robot) -> None:
    """Assert that no set-point was beyond a position limit, nor faster than a cubic at the velocity limits."""
    limits = robot.contract.limits
    times = np.array([t for t, _ in robot.setpoints])
    points = np.array([a for _, a in robot.setpoints])
    assert (points >= limits.low - 1e-4).all() and (points <= limits.high + 1e-4).all()
    # over a tenth of a second and more, so that the jitter of this process's timers plays no part
    for i in range(0, len(times), 5):
        j = int(np.searchsorted(times, times[i] + 0.1))
        if j < len(times):
            most = 1.5 * limits.velocity * (times[j] - times[i] + 0.1) + 1e-3
            assert (np.abs(points[j] - points[i]) <= most).all()


def values(message: DiagnosticStatus) -> dict[str, str]:
    """What a status says, by key; "" for what it does not say, as the first ones of a node say little."""
    return defaultdict(str, {v.key: v.value for v in message.values})
