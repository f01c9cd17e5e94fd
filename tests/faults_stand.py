"""A stack at work for the tests of faults, and their fixtures."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy.robot.contract import load
from tests import faults
from tests.ros_tiny import LONG, Bench, Robot, until, within_limits  # skips the file where there is no ROS
from tests.tiny import write_model

# isort: split
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.parameter import Parameter
from std_msgs.msg import String
from std_srvs.srv import Trigger

from ros_nodes import bridge
from ros_nodes.policy_node import PolicyNode
from ros_nodes.safety_node import SafetyNode

SAMPLES = 80  # set-points, at 100 Hz
PATIENT = 0.25  # s of silence until hold: more than on a robot, as other work may have the machine
SOON = 1.0  # s from a fault until the arm rests, five times what is asked of a robot


class Stand:
    """A robot without physics, the safety node and the policy node, in one process over real DDS."""

    def __init__(
        self,
        model: Path,
        policy: dict[str, Any] | None = None,
        inside: tuple[str, ...] = ("safety_node", "policy_node"),
        sim_time: bool = False,
        robot: Callable[..., Robot] = Robot,
    ) -> None:
        self.stage = Bench()
        self.robot = self.stage.add(robot(self.stage.context, start=_start()))
        if sim_time:
            self.robot.set_parameters([Parameter("use_sim_time", value=True)])
        self._voice = self.stage.ears.create_publisher(String, "instruction", bridge.LATCHED)
        self.said: list[tuple[str, str]] = []  # (node, all its words)
        self._active = False  # the policy node, by its status
        self.stage.ears.create_subscription(DiagnosticStatus, "policy_node/status", self._activity, bridge.LATCHED)
        for node in ("safety_node", "policy_node", "recorder_node"):
            self._hear(DiagnosticStatus, f"{node}/status", bridge.LATCHED, lambda m: [m])
        self._hear(DiagnosticArray, "/diagnostics", 100, lambda m: m.status)
        clock = {"use_sim_time": sim_time}
        self.parameters = {
            "safety_node": {"command_timeout": PATIENT, "state_timeout": PATIENT} | clock,
            "policy_node": {"model": str(model), "autostart": True, "sensor_timeout": PATIENT} | clock,
        }
        self.parameters["policy_node"] |= policy or {}
        kinds = {"safety_node": SafetyNode, "policy_node": PolicyNode}
        self.nodes = {name: self.stage.node(kinds[name], **self.parameters[name]) for name in inside}

    def _hear(self, kind: type, topic: str, qos: Any, statuses: Callable[[Any], Any]) -> None:
        def keep(message: Any) -> None:
            for s in statuses(message):
                words = " ".join([s.message, *(f"{v.key}: {v.value}" for v in s.values)])
                self.said.append((s.name.split(":")[0], words))

        self.stage.ears.create_subscription(kind, topic, keep, qos)

    def _activity(self, message: DiagnosticStatus) -> None:
        self._active = any(v.key == "serves" for v in message.values)

    def instruct(self, text: str) -> None:
        """Publish an instruction once the policy node is active: an older one is not obeyed."""
        until(lambda: self._active, "the policy node is active", 4 * LONG)
        self._voice.publish(String(data=text))

    def reset(self, text: str) -> None:
        """End a stop and give an instruction: after a stop the arm does not move by itself."""
        until(lambda: self.stage.ears.call("safety_node/reset", Trigger).success, "the stop is over")
        until(lambda: self.policy_sees_no_stop(), "the policy node knows that it is over")
        self.instruct(text)

    def policy_sees_no_stop(self) -> bool:
        """Whether the newest status of the policy node names no stop."""
        newest = [words for node, words in list(self.said) if node == "policy_node"]
        return bool(newest) and "safety_node" not in newest[-1]

    def hears(self, says: str, anew: bool = True) -> None:
        """Wait until the node named before the colon says the words after it; `anew`: what it said before is void."""
        node, words = says.split(": ", 1)
        if anew:
            self.said.clear()
        until(lambda: any(n == node and words in said for n, said in list(self.said)), f"{node} says {words!r}")

    def moves(self) -> None:
        """Wait until the controller's set-point goes on."""
        was = self.robot.action[0]
        try:  # a process may have to start for it
            until(lambda: abs(self.robot.action[0] - was) > 0.005, "the arm moves", 4 * LONG)
        except AssertionError as error:
            newest = {node: words for node, words in list(self.said)}
            raise AssertionError(f"{error}; newest: {newest}") from None

    def rests(self, since: float | None = None) -> None:
        """Wait until the controller's set-point stands still and stays so, and that soon after `since`."""

        def still() -> bool:
            recent = [a for _, a in self.robot.setpoints[-SAMPLES:]]
            return len(recent) == SAMPLES and float(np.ptp(recent, axis=0).max()) < 1e-4

        until(still, "the arm rests and stays where it is")
        if since is not None:
            end = self.robot.setpoints[-1][1]
            moved = [t for t, a in self.robot.setpoints if np.abs(a - end).max() > 1e-4]
            assert moved[-1] - since < SOON, f"the arm rests {moved[-1] - since:.2f} s after the fault"

    def close(self) -> None:
        """End all, and see that no set-point was beyond the limits."""
        self.stage.close()
        within_limits(self.robot)


def _start() -> np.ndarray:
    """Where the arm begins: the first joint has far to go, the others stand in the middle."""
    limits = load("tabletop").limits
    start = (limits.low + limits.high) / 2
    start[0] = limits.low[0] + 0.2
    return np.asarray(start, float)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_model(folder, ramp=0.005)  # 0.1 rad/s
    return folder


@pytest.fixture(scope="module")
def switching(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "switching"
    write_model(folder, ramp=0.005, switches=True)
    return folder


@pytest.fixture
def make(model: Path) -> Iterator[Callable[..., Stand]]:
    """Stands that are checked and cleared away."""
    made: list[Stand] = []

    def build(**options: Any) -> Stand:
        made.append(Stand(model, **options))
        return made[-1]

    yield build
    for stand in made:
        stand.close()


@pytest.fixture
def stand(make: Callable[..., Stand]) -> Stand:
    """At work already."""
    stand = make()
    stand.instruct("open the drawer")
    stand.moves()
    return stand


@pytest.fixture
def says(request: pytest.FixtureRequest) -> str:
    """What the test's docstring says that a node says."""
    return faults.parts(request.function.__doc__)["Says"].split(";")[0].strip("`")
