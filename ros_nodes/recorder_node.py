"""Records a live robot into bags that training reads, one for each instruction.

ros2 run midstream recorder_node --ros-args -p contract:=tabletop -p folder:=bags

subscribes   all topics of the contract, raw: nothing is decoded but the instruction
services     ~/start ~/stop ~/discard (Trigger), ~/mark_success (SetBool: true success, false failure)
publishes    ~/status (DiagnosticStatus, latched), /diagnostics (1 Hz)
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic_ns
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_srvs.srv import SetBool, Trigger

from policy.data.bag_writer import Channel
from policy.errors import InputError
from policy.robot import contract as contracts
from ros_nodes import bridge
from ros_nodes.bridge import LATCHED, OVERRIDES, STEADY
from ros_nodes.qos_events import QosMismatches
from ros_nodes.recording import Recorder
from ros_nodes.signals import uninterrupted

FLUSH = 0.5  # s
SILENT = 1_000_000_000  # ns without a message until a topic is reported


class RecorderNode(Node):
    """ROS around a `Recorder`."""

    def __init__(self, **options: Any) -> None:
        super().__init__("recorder_node", **options)
        declare = partial(bridge.declare, self)
        contract = contracts.load(
            declare("contract", "tabletop", "contract of the robot: a shipped name or a YAML file; names the topics")
        )
        folder = declare("folder", "bags", "folder that gets one rosbag2 directory for each instruction")
        self.recorder = Recorder(contract, Path(folder).expanduser())
        self._received: dict[str, int] = {}  # topic -> steady ns of its newest message
        self._qos = QosMismatches(self)
        observed = {topic.lstrip("/") for topic in self.recorder.contract.observed}
        for topic, channel in self.recorder.topics.items():
            self.create_subscription(
                bridge.message_class(channel.type),
                topic,
                partial(self._receive, topic),
                _qos(channel, topic in observed),
                raw=True,
                event_callbacks=self._qos.subscription(topic),
                qos_overriding_options=OVERRIDES,
            )
        self._serve("start", Trigger, lambda _: self.recorder.start(self._now()))
        self._serve("stop", Trigger, lambda _: self.recorder.stop())
        self._serve("discard", Trigger, lambda _: self.recorder.discard())
        self._serve("mark_success", SetBool, lambda request: self.recorder.mark(request.data))
        self._status = self.create_publisher(DiagnosticStatus, "~/status", LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(FLUSH, self._flush, clock=STEADY)
        self.create_timer(1.0, self._report, clock=STEADY)
        self._report()

    def destroy_node(self) -> None:
        """End the episode in the regular way first."""
        if self.recorder.active:
            try:
                self.get_logger().info(self.recorder.stop())
            except InputError as error:
                self.get_logger().error(str(error))
        super().destroy_node()  # type: ignore[no-untyped-call]  # rclpy annotates in part

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds

    def _came(self, received: int) -> int:
        """When a message came, which may be long before a busy node takes it; `received` 0: the middleware is silent.

        Of simulated time nothing but the present is known.
        """
        clock: Any = self.get_clock()  # of ROS time, which rclpy's types do not tell
        return self._now() if clock.ros_time_is_active or not received else received

    def _flush(self) -> None:
        with uninterrupted():
            self.recorder.flush()

    def _receive(self, topic: str, cdr: bytes, info: dict[str, int]) -> None:
        self._received[topic] = monotonic_ns()
        before = self.recorder.bag, self.recorder.fault
        with uninterrupted():
            self.recorder.push(topic, cdr, self._came(info["received_timestamp"]))
        if (self.recorder.bag, self.recorder.fault) != before:
            self._report()

    def _serve(self, name: str, kind: type, act: Callable[[Any], str]) -> None:
        """A service that does something with the recorder, and reports the new state."""

        def answer(request: Any, response: Any) -> Any:
            try:
                with uninterrupted():
                    response.success, response.message = True, act(request)
            except InputError as error:
                response.success, response.message = False, str(error)
            self.get_logger().info(response.message)
            self._report()
            return response

        self.create_service(kind, f"~/{name}", answer)

    def _report(self) -> None:
        """Publish what is being recorded, and what is wrong with it."""
        recorder, bag = self.recorder, self.recorder.bag
        level, message = self._state()
        status = bridge.status(
            level,
            "recorder_node: episode",
            message,
            {
                "instruction": recorder.instruction,
                "bag": bag.path if bag else "none",
                "messages": bag.counts.total() if bag else 0,
                "saved": recorder.saved,
            },
        )
        self._status.publish(status)
        self._diagnostics.publish(bridge.diagnostics(self, status))

    def _state(self) -> tuple[str, str]:
        """Level and message of the status."""
        recorder, bag = self.recorder, self.recorder.bag
        since = monotonic_ns() - SILENT
        silent = [t for t in recorder.required if self._received.get(t, since) <= since] if bag else []
        if recorder.fault:
            return "error", recorder.fault
        if mismatch := self._qos.fault():
            return "warn", mismatch
        if silent:
            return "warn", f"recording, but no message comes on {', '.join(silent)}"
        if bag:
            return "ok", f"recording {bag.path}"
        return "ok", "waiting for an instruction" if recorder.active else "not recording"


def _qos(channel: Channel, sensor: bool) -> QoSProfile:
    """Of a sensor best effort, which every publisher fits; deep, as a disk may pause."""
    if channel.latched:
        return LATCHED
    return QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT if sensor else ReliabilityPolicy.RELIABLE)


def main() -> int:
    """The executable."""
    return bridge.run(RecorderNode)


if __name__ == "__main__":
    sys.exit(main())
