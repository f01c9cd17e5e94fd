"""The last process before the controller: an action chunk comes in, bounded trajectories go to the robot's topics.

    ros2 run midstream safety_node --ros-args -p contract:=tabletop

Limits, ramp, watchdogs, hold, stop: policy/running/safety.py. After `~/take_over` a person's `operator_command` passes
in place of the chunks, within the same limits, and the label of corrections tells whoever records. A software stop is
not a safety function: it does not replace the emergency stop of the robot, nor the limits in its own controller.
"""

import sys
from functools import partial
from pathlib import Path
from time import monotonic_ns, time_ns
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from policy.errors import InputError
from policy.robot import contract as contracts
from policy.robot.decode import Unusable, value_decoder
from policy.robot.joint_consistency import JointConsistency
from policy.running.plan import Plan
from policy.running.safety import SafetyMonitor
from ros_nodes import bridge, outputs
from ros_nodes.bridge import ACTION_CHUNK, COMMAND, LIVING_OUT, OPERATOR_COMMAND, OVERRIDES, SENSOR_IN, STEADY
from ros_nodes.graph import count_publishers, publishers_fault
from ros_nodes.qos_events import QosMismatches
from ros_nodes.stop_file import StopFile, default_path

WATCH = 0.01  # s between two looks at the clocks, and between two copies of a plan
LOOK = 0.1  # s between two looks at the graph
PERSON, POLICY = "a person", "the policy"  # who may be in control
AGAIN = "a stop came while a person drove: take over again, or give back"
ALIVE = 250_000_000  # ns between two statuses at most: within one process Fast DDS asserts liveliness by them alone


class SafetyNode(Node):
    """Guards one robot."""

    crashed = False  # an error ends it

    def __init__(self, **options: Any) -> None:
        super().__init__("safety_node", **options)
        declare = partial(bridge.declare, self)
        self._contract = contracts.load(
            declare("contract", "tabletop", "contract of the robot: a shipped name or a YAML file; holds the limits")
        )
        self._monitor = self._make_monitor()
        self._consistency = JointConsistency(self._contract)
        self._mismatches = QosMismatches(self)
        self._problem = ""  # of the newest message that could not be used
        self._unsaved = ""  # why a stop could not be saved
        self._shown: tuple[object, ...] = ()
        self._shown_at = 0  # steady ns
        self._passed = 0
        self._corrected = False  # a person is in control
        self._ended = False  # by a stop: what drives then, as a leader arm that was moved, is not followed by itself
        self._started = str(time_ns())  # tells one process from the next
        self._saved = ("", False)
        path = declare("stop_file", "", "file that keeps a stop beyond this process; empty: below ROS_HOME or ~/.ros")
        name = default_path(str(self.context.get_domain_id()), self.get_fully_qualified_name())
        self._stop_file = StopFile(Path(path) if path else name)
        self._begin_stopped(declare("stopped_after_crash", True, "start stopped where the last one crashed"))
        self._subscribe()
        self._status = self.create_publisher(DiagnosticStatus, "~/status", LIVING_OUT)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_service(Trigger, "~/stop", self._stop)
        self.create_service(SetBool, "~/estop", self._estop)
        self.create_service(Trigger, "~/reset", self._reset)
        self.create_service(SetBool, "~/take_over", self._take_over)
        correction = self._contract.labels.correction
        self._correction = self.create_publisher(Bool, bridge.relative(correction), 10) if correction else None
        self._labelled = False  # once somebody has taken over, all that is recorded says who was in control
        self.create_timer(WATCH, self._watch, clock=STEADY)
        self.create_timer(LOOK, self._look, clock=STEADY)
        self.create_timer(1.0, self._diagnose, clock=STEADY)

    def _make_monitor(self) -> SafetyMonitor:
        declare = partial(bridge.declare, self)
        command_timeout = declare("command_timeout", 0.15, "s without a command until the arm is held", 0.02, 10.0)
        bridge.outlasts("command_timeout", command_timeout, self._contract)
        return SafetyMonitor(
            self._contract,
            command_timeout,
            declare("state_timeout", 0.15, "s without joint states until the arm is held", 0.02, 10.0),
            declare(
                "lookahead",
                0.25,
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
            declare("ramp", 0.5, "s in which the speed limits rise to full where following begins", 0.0, 60.0),
        )

    def _begin_stopped(self, stopped_after_crash: bool) -> None:
        """A stop of the process before this one is still in force."""
        stopped, estopped = self._stop_file.begin(stopped_after_crash)
        self._monitor.estopped = estopped
        if stopped:
            self._monitor.stop(stopped, self._now())
            self.get_logger().warning(f"stopped: {stopped}; call {self.get_fully_qualified_name()}/reset to go on")
        self._saved = self._monitor.stopped, estopped

    def _subscribe(self) -> None:
        contract = self._contract
        for topic, kind in {bridge.relative(s.topic): s.type for s in contract.state}.items():
            sources = [(i, value_decoder(s)) for i, s in enumerate(contract.state) if bridge.relative(s.topic) == topic]
            self.create_subscription(
                bridge.message_class(kind),
                topic,
                partial(self._measured, topic, sources),
                SENSOR_IN,
                qos_overriding_options=OVERRIDES,
                event_callbacks=self._mismatches.subscription(topic),
            )
        for topic, by_person in ((ACTION_CHUNK, False), (OPERATOR_COMMAND, True)):
            self.create_subscription(
                JointTrajectory,
                topic,
                partial(self._command, by_person),
                COMMAND,
                qos_overriding_options=OVERRIDES,
                event_callbacks=self._mismatches.subscription(topic),
            )
        self._outputs = {c.topic: outputs.make(self, c, self._mismatches) for c in contract.controllers}

    def destroy_node(self) -> None:
        """A clean end leaves only a stop behind; after a crash the next process finds that this one ran."""
        self._send(self._monitor.refuse("the safety node is shut down", self._now()))
        self._stream(self._now())
        try:
            if not self.crashed:
                self._stop_file.end(self._monitor.stopped, self._monitor.estopped)
        except InputError as error:
            self.get_logger().error(str(error))
        for output in self._outputs.values():
            output.close()
        super().destroy_node()  # type: ignore[no-untyped-call]  # of rclpy

    # -- in

    def _now(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    def _measured(self, topic: str, sources: list[tuple[int, Any]], message: Any) -> None:
        steady = monotonic_ns()
        self._consistency.add(topic, message, steady)
        for i, decode in sources:
            try:
                if (values := decode(message)) is not None:
                    self._monitor.measured_part(i, values, steady)
            except Unusable as error:
                self._problem = str(error)

    def _command(self, by_person: bool, message: JointTrajectory) -> None:
        if by_person != self._corrected:
            return  # the other one is in control
        try:
            stamp, times, actions = bridge.chunk(message, self._contract.spec.action)
        except InputError as error:
            self._problem = str(error)
            self._send(self._monitor.refuse(str(error), self._now()))
            return
        self._send(self._monitor.command(stamp + times, actions, self._now(), monotonic_ns()))
        self._passed += not self._monitor.reason

    # -- out

    def _send(self, plans: list[Plan]) -> None:
        for plan in plans:
            if not plan.controller.streamed:
                self._outputs[plan.controller.topic].plan(plan)

    def _stream(self, now: int) -> None:
        """The set-points of now, and once more what a connection may have lost."""
        for controller, values in self._monitor.streamed(now):
            self._outputs[controller.topic].set_point(values, now, bool(self._monitor.reason))
        for output in self._outputs.values():
            output.again(now)

    def _watch(self) -> None:
        now, steady = self._now(), monotonic_ns()
        self._send(self._monitor.report("joints", self._consistency.fault(steady), now))
        self._send(self._monitor.watch(now, steady))
        self._end_driving()
        self._stream(now)
        self._save()
        self._tell()

    def _look(self) -> None:
        """Who else commands this arm, and whether anybody hears us."""
        fault = publishers_fault(self, OPERATOR_COMMAND if self._corrected else ACTION_CHUNK, 1)
        for output in self._outputs.values():
            fault = fault or output.fault()
        self._send(self._monitor.report("graph", fault, self._now()))
        count_publishers(self, self._consistency.publishers)

    def _end_driving(self) -> None:
        """A stop ends what a person did: the arm follows again once they take over again."""
        self._ended = self._corrected and (self._ended or bool(self._monitor.stopped))
        self._send(self._monitor.report("control", AGAIN if self._ended else "", self._now()))

    def _save(self) -> None:
        state = self._monitor.stopped, self._monitor.estopped
        if state == self._saved:
            return
        try:
            self._stop_file.write(*state)
            self._saved, self._unsaved = state, ""
        except InputError as error:
            if self._unsaved != str(error):
                self.get_logger().error(str(error))
            self._unsaved = str(error)

    # -- services

    def _stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._send(self._monitor.stop("on request", self._now()))
        self._save()
        response.success, response.message = True, self._monitor.reason
        return response

    def _estop(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._send(self._monitor.estop(request.data, self._now()))
        self._save()
        response.success, response.message = True, self._monitor.reason
        return response

    def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._end_driving()
        refused = self._monitor.reset()
        self._save()
        response.success, response.message = refused is None, refused or "the stop is over"
        return response

    def _take_over(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """The arm comes to rest first, whoever is in control then."""
        who = PERSON if request.data else POLICY
        response.success = not (request.data and self._monitor.stopped)
        if not response.success:
            response.message = f"stopped: {self._monitor.stopped}; reset it first"
            return response
        response.message = f"{who} is in control"
        if request.data and self._correction is None:
            response.message += "; no recording tells so: the contract names no label of corrections"
        if request.data != self._corrected or self._ended:
            self._send(self._monitor.refuse(f"control goes to {who}", self._now()))
            self._corrected, self._ended, self._labelled = request.data, False, True
            self.get_logger().info(response.message)
            self._label()
        return response

    # -- what it reports

    def _label(self) -> None:
        if self._correction is not None and self._labelled:
            self._correction.publish(Bool(data=self._corrected))

    def _tell(self) -> None:
        """Publish the status where it has changed, and often enough to be known alive."""
        steady = monotonic_ns()
        core, control = self._monitor, (self._corrected, self._ended)
        shown = (core.reason, core.estopped, *control, self._unsaved, self._mismatches.fault())
        if shown != self._shown or steady - self._shown_at > ALIVE:
            self._shown, self._shown_at = shown, steady
            self._status.publish(self._report())
            self._label()

    def _report(self) -> DiagnosticStatus:
        core, mismatch = self._monitor, self._mismatches.fault()
        level = "error" if core.stopped or self._unsaved else "warn" if core.reason or mismatch else "ok"
        text = f"holding: {core.reason}" if core.reason else "passing"
        return bridge.status(
            level,
            "safety_node: monitor",
            "; ".join(filter(None, (text, self._unsaved, mismatch))),
            {
                "holding": core.reason,
                "stopped": core.stopped,
                "started": self._started,
                "estop": core.estopped,
                "in control": PERSON if self._corrected else POLICY,
                "take over again": "yes" if self._ended else "no",
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
