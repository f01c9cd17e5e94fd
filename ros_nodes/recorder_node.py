"""Records a live robot into bags that training reads, one an instruction.

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

from policy.data.bags import Channel
from policy.errors import InputError
from policy.robot import contract as contracts
from policy.robot.contract import COMPRESSED, IMAGE, JOINT_STATE
from ros_nodes import bridge
from ros_nodes.bridge import LATCHED, OVERRIDES, STEADY
from ros_nodes.recording import Recorder

FLUSH = 0.5  # s
SILENT = 1_000_000_000  # ns without a message until a topic is named


class RecorderNode(Node):
    """ROS around a `Recorder`."""

    def __init__(self, **options: Any) -> None:
        super().__init__("recorder_node", **options)
        declare = partial(bridge.declare, self)
        contract = contracts.load(
            declare("contract", "tabletop", "contract of the robot: a shipped name or a YAML file; names the topics")
        )
        folder = declare("folder", "bags", "folder that gets one rosbag2 directory an instruction")
        self.recorder = Recorder(contract, Path(folder).expanduser())
        self._heard: dict[str, int] = {}  # topic -> steady ns of its newest message
        for topic, channel in self.recorder.topics.items():
            self.create_subscription(
                bridge.TYPES[channel.type],
                topic,
                partial(self._take, topic),
                _qos(channel),
                raw=True,
                qos_overriding_options=OVERRIDES,
            )
        for name, act in (
            ("start", lambda: self.recorder.start(self._now())),
            ("stop", self.recorder.stop),
            ("discard", self.recorder.discard),
        ):
            self.create_service(Trigger, f"~/{name}", partial(self._answer, lambda _, act=act: act()))
        self.create_service(
            SetBool, "~/mark_success", partial(self._answer, lambda request: self.recorder.mark(request.data))
        )
        self._status = self.create_publisher(DiagnosticStatus, "~/status", LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(FLUSH, self.recorder.flush, clock=STEADY)
        self.create_timer(1.0, self._tell, clock=STEADY)
        self._tell()

    def destroy_node(self) -> None:
        """End the episode in the regular way first."""
        if self.recorder.on:
            self.get_logger().info(self.recorder.stop())
        super().destroy_node()

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds

    def _take(self, topic: str, cdr: bytes) -> None:
        self._heard[topic] = monotonic_ns()
        before = self.recorder.bag, self.recorder.fault
        self.recorder.take(topic, cdr, self._now())
        if (self.recorder.bag, self.recorder.fault) != before:
            self._tell()

    def _answer(self, act: Callable[[Any], str], request: Any, response: Any) -> Any:
        try:
            response.success, response.message = True, act(request)
        except InputError as error:
            response.success, response.message = False, str(error)
        self.get_logger().info(response.message)
        self._tell()
        return response

    def _tell(self) -> None:
        """What is being recorded, and what is wrong with it."""
        recorder, bag = self.recorder, self.recorder.bag
        since = monotonic_ns() - SILENT
        silent = [t for t in recorder.needed if self._heard.get(t, since) <= since] if bag else []
        level, message = "ok", "not recording"
        if recorder.fault:
            level, message = "error", recorder.fault
        elif silent:
            level, message = "warn", f"recording, but nothing comes on {', '.join(silent)}"
        elif bag:
            message = f"recording {bag.path}"
        elif recorder.on:
            message = "waiting for an instruction"
        report = bridge.status(
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
        self._status.publish(report)
        self._diagnostics.publish(bridge.diagnostics(self, report))


def _qos(channel: Channel) -> QoSProfile:
    """Best effort hears every publisher of sensor data; deep, as a disk may pause."""
    if channel.latched:
        return LATCHED
    sensor = channel.type in (IMAGE, COMPRESSED, JOINT_STATE)
    return QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT if sensor else ReliabilityPolicy.RELIABLE)


def main() -> int:
    """The executable."""
    return bridge.run(RecorderNode)


if __name__ == "__main__":
    sys.exit(main())
