"""The last process before the controller: what comes on `policy/<topic>` goes bounded to `<topic>`.

    ros2 run midstream safety_node --ros-args -p contract:=tabletop

Limits, ramp, watchdogs, hold, stop: policy/running/supervisor.py. A software stop is not a safety function: it does
not replace the emergency stop of the robot, nor the limits in its own controller.
"""

import sys
from functools import partial
from time import monotonic_ns
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from policy.errors import InputError
from policy.robot import contract as contracts
from policy.robot.decode import Unusable, joint_decoder
from policy.running.supervisor import Plan, Supervisor
from ros_nodes import bridge
from ros_nodes.bridge import COMMAND, LIVING_OUT, OVERRIDES, SENSOR_IN, STEADY

WATCH = 0.01  # s between two looks at the clocks


class SafetyNode(Node):
    """Guards one robot."""

    def __init__(self, **options: Any) -> None:
        super().__init__("safety_node", **options)
        declare = partial(bridge.declare, self)
        self._contract = contracts.load(
            declare("contract", "tabletop", "contract of the robot: a shipped name or a YAML file; holds the limits")
        )
        command_timeout = declare("command_timeout", 0.15, "s without a command until the arm is held", 0.02, 10.0)
        bridge.outlasts("command_timeout", command_timeout, self._contract)
        self._supervisor = Supervisor(
            self._contract,
            command_timeout,
            declare("state_timeout", 0.15, "s without joint states until the arm is held", 0.02, 10.0),
            declare(
                "lookahead",
                0.2,
                "s of a trajectory that go to the controller: how long the arm goes on if this process dies",
                0.02,
                10.0,
            ),
            declare(
                "start_within",
                0.25,
                "s in which the arm, at its speed limits, must be able to reach the first point; farther is refused",
                0.0,
                60.0,
            ),
            declare(
                "ramp", 0.5, "s in which the speed limits rise to their full value where following begins", 0.0, 60.0
            ),
        )
        self._joints: dict[int, np.ndarray] = {}  # group of the contract -> its newest values
        self._parts: dict[str, tuple[int, JointTrajectory]] = {}  # topic -> when sent; waits for the others
        self._problem = ""  # of the newest message that could not be used
        self._told: tuple[object, ...] = ()
        self._passed = 0
        self._subscribe()
        self._status = self.create_publisher(DiagnosticStatus, "~/status", LIVING_OUT)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_service(Trigger, "~/stop", self._stop)
        self.create_service(SetBool, "~/estop", self._estop)
        self.create_service(Trigger, "~/reset", self._reset)
        self.create_timer(WATCH, self._watch, clock=STEADY)
        self.create_timer(1.0, self._diagnose, clock=STEADY)

    def _subscribe(self) -> None:
        contract = self._contract
        for topic in {bridge.relative(s.topic) for s in contract.state}:
            groups = [(i, joint_decoder(s)) for i, s in enumerate(contract.state) if bridge.relative(s.topic) == topic]
            self.create_subscription(
                JointState, topic, partial(self._measured, groups), SENSOR_IN, qos_overriding_options=OVERRIDES
            )
        self._outputs: dict[str, Publisher] = {}
        for topic, _, _ in contract.split(np.zeros(len(contract.spec.action))):
            name = bridge.relative(topic)
            # rclpy hands the publisher's number of a message to callbacks that take two arguments
            self.create_subscription(
                JointTrajectory,
                f"policy/{name}",
                lambda m, info, topic=topic: self._command(topic, m, info),
                COMMAND,
                qos_overriding_options=OVERRIDES,
            )
            self._outputs[name] = self.create_publisher(
                JointTrajectory, name, COMMAND, qos_overriding_options=OVERRIDES
            )

    # -- in

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds

    def _measured(self, groups: list[tuple[int, Any]], message: JointState) -> None:
        try:
            for i, decode in groups:
                if (value := decode(message)) is not None:
                    self._joints[i] = value
        except Unusable as error:
            self._problem = str(error)
            return
        if len(self._joints) == len(self._contract.state):
            state = np.concatenate([self._joints[i] for i in sorted(self._joints)])
            self._supervisor.measured(state, monotonic_ns())

    def _command(self, topic: str, message: JointTrajectory, info: dict[str, Any]) -> None:
        """Arm and gripper come one after the other: act when all parts of one command are there."""
        steady = monotonic_ns()
        self._supervisor.numbered(topic, info["publication_sequence_number"], steady)
        self._parts[topic] = info["source_timestamp"], message
        if len(self._parts) < len(self._outputs):
            return
        newest = max(sent for sent, _ in self._parts.values())
        near = newest - self._contract.spec.dt_ns // 4
        clocks = {tuple(bridge.nanoseconds(p.time_from_start) for p in m.points) for _, m in self._parts.values()}
        if len(clocks) > 1 or any(sent < near for sent, _ in self._parts.values()):
            # of two commands, of which the rest was lost: only what was sent last can still be completed
            self._problem = "parts of different commands"
            self._parts = {t: part for t, part in self._parts.items() if part[0] == newest}
            return
        parts, self._parts = {t: m for t, (_, m) in self._parts.items()}, {}
        try:
            times, actions = self._joined(parts)
        except InputError as error:
            self._problem = str(error)
            self._send(self._supervisor.refuse(str(error), self._now()))
            return
        plan = self._supervisor.command(times, actions, self._now(), steady)
        self._passed += plan is not None
        self._send(plan)

    def _joined(self, parts: dict[str, JointTrajectory]) -> tuple[np.ndarray, np.ndarray]:
        """Messages of all topics as one trajectory: times (N,) ns from now, set-points (N, A)."""
        split = []
        for topic, message in parts.items():
            if bridge.nanoseconds(message.header.stamp):
                raise InputError(f"{topic}: got a trajectory with a stamp, expected stamp 0: begin now")
            times, positions, _ = bridge.points(message)
            split.append((topic, tuple(message.joint_names), positions))
        try:
            return times, self._contract.join(split)
        except (KeyError, IndexError) as error:
            raise InputError(f"got a command without {error}, expected all joints of the contract") from None

    # -- out

    def _send(self, plan: Plan | None) -> None:
        if plan is None:
            return
        times, points, start = plan
        for topic, message in bridge.trajectories(self._contract, times, points, start).items():
            self._outputs[topic].publish(message)

    def _watch(self) -> None:
        self._send(self._supervisor.watch(self._now(), monotonic_ns()))
        self._tell()

    # -- services

    def _stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._send(self._supervisor.stop("on request", self._now()))
        response.success, response.message = True, self._supervisor.reason
        return response

    def _estop(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._send(self._supervisor.estop(request.data, self._now()))
        response.success, response.message = True, self._supervisor.reason
        return response

    def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        refused = self._supervisor.reset()
        response.success, response.message = refused is None, refused or "the stop is over"
        return response

    # -- what it says

    def _tell(self) -> None:
        told = (self._supervisor.reason, self._supervisor.estopped)
        if told != self._told:
            self._told = told
            self._status.publish(self._report())

    def _report(self) -> DiagnosticStatus:
        core = self._supervisor
        level = "ok" if not core.reason else "error" if core.reason.startswith("stopped") else "warn"
        words = f"holding: {core.reason}" if core.reason else "passing"
        return bridge.status(
            level,
            "safety_node: guard",
            words,
            {
                "holding": core.reason,
                "estop": core.estopped,
                "commands passed": self._passed,
                "last unusable message": self._problem or "none",
                **{f"limited, {k}": v for k, v in core.limited.items()},
                **{f"held, {k}": v for k, v in core.holds.items()},
            },
        )

    def _diagnose(self) -> None:
        self._diagnostics.publish(bridge.diagnostics(self, self._report()))


def main() -> int:
    """The executable."""
    return bridge.run(SafetyNode)


if __name__ == "__main__":
    sys.exit(main())
