"""The console of a robot that ROS runs: a page over its topics and services.

    ros2 run midstream console_node --ros-args -p contract:=tabletop      then open http://127.0.0.1:8765

publishes    instruction (latched): what is typed, "continue", "stop"; operator_command while this page has taken over
calls        safety_node/estop, safety_node/reset and safety_node/take_over, policy_node/reset
"""

import sys
import threading
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from console.backend import Feed
from console.jog import Jog
from console.server import ConsoleServer
from policy.errors import InputError
from policy.robot import contract as contracts
from policy.robot.instructions import stops
from policy.running.known_instructions import KnownInstructions
from policy.running.loop import check_instruction
from policy.running.models import find_model
from policy.running.policy_client import SCHEMES
from policy.spec import Spec
from ros_nodes import bridge
from ros_nodes.bridge import COMMAND, LATCHED, OPERATOR_COMMAND, STEADY
from ros_nodes.console_robot import ConsoleRobot
from ros_nodes.executor_thread import in_executor

EVERY = 0.05  # s between two states
ANSWER = 5.0  # s that a service may take
LOST = 1.0  # s: the safety node reports four times a second who is in control


class ServiceRefused(InputError):
    """A service has answered, and does not do it."""


class ConsoleNode(Node):
    """Serves the page of one robot."""

    def __init__(self, **options: Any) -> None:
        super().__init__("console_node", **options)
        declare = partial(bridge.declare, self)
        self._contract = contracts.load(
            declare("contract", "tabletop", "contract of the robot: a shipped name or a YAML file")
        )
        self._model = declare("model", "tabletop", "the policy's folder or name, for what it was taught; empty: none")
        host = declare("host", "127.0.0.1", "address to listen at; any but this machine's own needs a token")
        port = declare("port", 8765, "port to listen at; 0: a free one", 0, 65535)
        token = declare("token", "", "a secret of at least 16 characters, which the page asks for")
        stops = declare("stop_on_disconnect", False, "hold the arm when the browser in control is lost")
        self.feed = Feed()
        self._robot = ConsoleRobot(self, self._contract, self.feed)
        self._taught = _taught(self._model)
        self._instruction = self.create_publisher(String, bridge.relative(self._contract.instruction), LATCHED)
        services: dict[str, Any] = {
            "safety_node/estop": SetBool,
            "safety_node/reset": Trigger,
            "safety_node/take_over": SetBool,
            "policy_node/reset": Trigger,
        }
        self._called = {name: (self.create_client(kind, name), kind) for name, kind in services.items()}
        self.commands: dict[str, Callable[..., str]] = {
            "instruct": self._instruct,
            "continue": lambda: self._instruct("continue"),
            "stop": lambda: self._instruct("stop"),
            "emergency_stop": self._emergency_stop,
            "reset": self._reset,
            "take_over": self._take_over,
            "give_back": self._give_back,
            "move": self._move,
        }
        self._emergencies = 0  # stops that were asked for here
        self._jog: Jog | None = None  # while this page has taken over
        self._given_at = -LOST  # s, steady: when control was given back here
        self._control_at = 0.0  # s, steady: when the safety node last said that a person is in control
        self._operator: Publisher | None = None  # from the first movement on: before it a leader arm may drive
        self.server = ConsoleServer(self, host, port, token, stops)
        self.server.start()
        self.get_logger().info(f"the console is at {self.server.url}")
        self.create_timer(EVERY, lambda: self.feed.publish(self._robot.state()), clock=STEADY)
        self.create_timer(EVERY, self._drive, clock=STEADY)

    def description(self) -> dict[str, Any]:
        """What does not change."""
        spec = self._contract.spec
        return {
            "backend": "ROS",
            "model": self._model or "a robot",
            "joints": list(spec.action),
            "cameras": self._robot.cameras,
            "sentences": [{"task": task, "text": text} for task, text in self._taught],
            "choices": None,
        }

    def destroy_node(self) -> None:
        """End the server first; the robot goes on."""
        self.server.close()
        super().destroy_node()  # type: ignore[no-untyped-call]  # of rclpy

    # -- from the server's threads

    def _instruct(self, text: str) -> str:
        """Tell the policy; "stop" holds as well what a person drives, or a leader arm: control is given back."""
        try:
            return self._tell(text)
        finally:
            if stops(text) and self._robot.corrected:
                self._give_back()

    def _tell(self, text: str) -> str:
        check_instruction(text)
        if not self._robot.there:
            raise InputError("nothing is heard of policy_node: start it, or look at the namespace")
        if self._robot.unready and not stops(text):
            raise InputError(f"policy_node takes no instruction: {self._robot.unready}; configure and activate it")
        self._robot.asked = text
        self._instruction.publish(String(data=text))
        return text

    def _emergency_stop(self) -> str:
        self._emergencies += 1
        return self._call("safety_node/estop", data=True)

    def _reset(self) -> str:
        """End the stops; not one that came meanwhile. A policy that is not active has no instruction to forget."""
        self._robot.asked, before = "", self._emergencies
        try:
            policy = "" if self._there("policy_node/reset") else "; policy_node is not there"
            if not policy:
                self._call("policy_node/reset")
        except ServiceRefused as error:
            policy = f"; {error}"
        if self._emergencies != before:
            raise InputError("an emergency stop came after this reset, and stays: reset again")
        self._call("safety_node/estop", data=False)
        return self._call("safety_node/reset") + policy

    def _take_over(self) -> str:
        jog = Jog(self._contract, self._robot.setpoint())
        said = self._call("safety_node/take_over", data=True)
        self._control_at = monotonic()  # first: from now on the executor looks at both
        self._jog = jog
        return said

    def _give_back(self) -> str:
        self._jog, self._given_at = None, monotonic()
        in_executor(self, self._end_driving)
        try:
            return self._call("safety_node/take_over", data=False)
        finally:
            self._given_at = monotonic()

    def _move(self, joint: str, share: float) -> str:
        if self._robot.stopped:
            raise InputError(f"{self._robot.stopped}: reset it first")
        given = monotonic() - self._given_at < LOST  # the safety node may not have said so yet
        if self._jog is None and (given or not self._robot.corrected):
            raise InputError("the policy is in control: take over first")
        if self._jog is None or self._robot.ended:  # somebody took over elsewhere, or a stop came since
            if share == 0.0:
                return joint  # a key that is let go takes nothing over
            self._take_over()
        if (jog := self._jog) is not None:
            jog.move(joint, share, monotonic())
        if self._operator is None:
            in_executor(self, self._begin_to_drive)
        return joint

    def _there(self, name: str) -> bool:
        return bool(self._called[name][0].service_is_ready())

    def _call(self, name: str, **fields: bool) -> str:
        """Call a service and wait for its answer; `InputError` where it is not there or silent, `ServiceRefused`."""
        (client, kind), answered = self._called[name], threading.Event()
        if not self._there(name):
            raise InputError(f"{name} is not there: start the node, or use the robot's own emergency stop")
        future = client.call_async(kind.Request(**fields))
        future.add_done_callback(lambda _: answered.set())
        if not answered.wait(ANSWER):
            raise InputError(f"{name} gives no answer within {ANSWER:g} s; use the robot's own emergency stop")
        response: Any = future.result()
        if not response.success:
            raise ServiceRefused(f"{name}: {response.message}")
        return str(response.message)

    # -- from the executor's thread

    def _begin_to_drive(self) -> None:
        if self._jog is not None and self._operator is None:
            self._operator = self.create_publisher(JointTrajectory, OPERATOR_COMMAND, COMMAND)

    def _end_driving(self) -> None:
        if self._operator is not None:
            self.destroy_publisher(self._operator)
            self._operator = None

    def _drive(self) -> None:
        """Where the person wants the arm, while control is ours: another page or a new safety node ends it."""
        steady = monotonic()
        if self._robot.corrected:
            self._control_at = steady
        elif steady - self._control_at > LOST:
            self._jog = None
            self._end_driving()
        jog, operator = self._jog, self._operator
        if jog is None or operator is None:
            return
        if self._robot.held and (measured := self._robot.known()) is not None:
            # What a person wanted before the arm was held is not done when it goes on; a hand keeps its hold.
            jog.begin(np.where(self._contract.grippers, jog.target, measured))
        now = int(self.get_clock().now().nanoseconds)
        operator.publish(bridge.driven(self._contract.spec, now, jog.advance(steady, EVERY)))


def _taught(model: str) -> list[tuple[str, str]]:
    """What a policy was taught; nothing for one that does not know."""
    if not model or model.startswith(SCHEMES):
        return []
    folder = find_model(model)
    spec = Spec.load(folder / "spec.json")
    return KnownInstructions(folder, spec.text, spec.runtime.likeness).taught if spec.switches else []


def main() -> int:
    """The executable."""
    return bridge.run(ConsoleNode)


if __name__ == "__main__":
    sys.exit(main())
