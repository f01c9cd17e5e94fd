"""A bag as the robot's sensors: the policy's set-points are compared with the demonstrated ones.

    ros2 run midstream replay_node --ros-args -p bag:=bags/<episode> -p contract:=tabletop

    publishes    the bag's sensor topics and instruction as they were recorded, and /clock at their time
    subscribes   action_chunk; of each, the first set-point is compared
                 policy_node/status: playing begins once that node is active

Nothing is moved: it refuses to play where a safety node subscribes to the policy or a robot publishes its
sensors. The policy runs with use_sim_time. It ends with the bag, by itself.
"""

import json
import sys
from functools import partial
from pathlib import Path
from time import monotonic_ns
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import QoSProfile
from trajectory_msgs.msg import JointTrajectory

from policy.data.bags import summary
from policy.errors import InputError
from policy.robot import contract as contracts
from ros_nodes import bridge
from ros_nodes.bridge import ACTION_CHUNK, LATCHED, OVERRIDES, POLICY_STATUS, SENSOR_OUT, STEADY
from ros_nodes.clock_publisher import ClockPublisher
from ros_nodes.graph import publisher_count, takers
from ros_nodes.playback import Playback
from ros_nodes.qos_events import QosMismatches

TICK = 0.005  # s between two looks at the bag
AFTER = 1_000_000_000  # ns after the last message, for the policy's last command


class ReplayNode(Node):
    """Plays one bag to one policy."""

    def __init__(self, **options: Any) -> None:
        super().__init__("replay_node", **options)
        declare = partial(bridge.declare, self)
        contract = contracts.load(
            declare("contract", "tabletop", "contract of the robot: a shipped name or a YAML file")
        )
        self._bag = Path(declare("bag", "", "bag to play: a rosbag2 directory or an .mcap file")).expanduser()
        self._report = declare("report", "", "file for the comparison as JSON; empty: it is only logged")
        if not self._bag.exists() or self._bag == Path():
            raise InputError(f"no bag at {str(self._bag)!r}; give one with -p bag:=<folder>")
        report = Path(self._report).expanduser()
        if self._report and not report.parent.is_dir():
            raise InputError(f"no folder for the report {self._report}; make it, or give another file")
        if self._report and report.is_dir():
            raise InputError(f"the report {self._report} is a folder, expected a file to write")
        self.playback = Playback(self._bag, contract)
        self._begun = 0  # steady ns at which playing began, 0 before
        self._problem = ""  # of the newest command that could not be compared
        self._waiting = "waiting for other nodes to be found"  # what playing waits for
        self._sim_clock, self._qos = ClockPublisher(self), QosMismatches(self)
        instruction = bridge.relative(contract.instruction)
        self._outputs = {
            topic: self.create_publisher(
                bridge.message_class(kind),
                topic,
                LATCHED if topic == instruction else SENSOR_OUT,
                event_callbacks=self._qos.publisher(topic),
                qos_overriding_options=OVERRIDES,
            )
            for topic, kind in self.playback.played.items()
        }
        self._action = contract.spec.action
        self._chunks = self.create_subscription(
            JointTrajectory,
            ACTION_CHUNK,
            self._compare,
            QoSProfile(depth=10),
            event_callbacks=self._qos.subscription(ACTION_CHUNK),
            qos_overriding_options=OVERRIDES,
        )
        self._inactive = "nothing heard of it yet"  # why policy_node obeys nothing, "" once it is active
        self.create_subscription(DiagnosticStatus, POLICY_STATUS, self._hear, LATCHED)
        self._status = self.create_publisher(DiagnosticStatus, "~/status", LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(TICK, self._play, clock=STEADY)
        self.create_timer(1.0, self._publish_status, clock=STEADY)

    @property
    def now(self) -> int:
        """The bag's time [ns]: it stands at the beginning until a policy is there."""
        return self.playback.begin + (monotonic_ns() - self._begun if self._begun else 0)

    def _play(self) -> None:
        if not self._begun:
            if not self._ready():
                return
            self._begun = monotonic_ns()
        self._sim_clock.publish(self.now)
        for raw in self.playback.due(self.now):
            self._outputs[raw.topic.lstrip("/")].publish(raw.data)
        if self.now > self.playback.end + AFTER:
            self._finish()

    def _ready(self) -> bool:
        """Whether a policy subscribes, publishes and obeys, and nobody who could move is there.

        policy_node subscribes before it is active, and obeys no instruction from before that. Other policies, which
        have no such status, begin when they are connected.
        """
        if not self._sim_clock.ready():
            return False
        self._refuse_a_live_robot()
        unread = [t for t, p in self._outputs.items() if not p.get_subscription_count()]
        silent = [] if self.count_publishers(self._chunks.topic_name) else [self._chunks.topic_name]
        waiting = f"waiting for a policy on {', '.join(unread + silent)}" if unread or silent else ""
        if not waiting and self._inactive and publisher_count(self, POLICY_STATUS):
            waiting = f"waiting for policy_node to be active: {self._inactive}"
        if waiting and waiting != self._waiting:
            self.get_logger().info(waiting)
        self._waiting = waiting
        return not waiting

    def _hear(self, status: DiagnosticStatus) -> None:
        active = any(entry.key == "holding" for entry in status.values)  # of a control loop, which runs only then
        self._inactive = "" if active else status.message

    def _refuse_a_live_robot(self) -> None:
        for publisher in self._outputs.values():
            if self.count_publishers(publisher.topic_name) > 1:
                raise InputError(
                    f"another node publishes {publisher.topic_name}: a robot or another bag is "
                    "live here; stop it, or replay in another domain or namespace"
                )
        if len(takers(self, ACTION_CHUNK)) > 1:  # more than this node
            raise InputError(
                f"another node subscribes to {self._chunks.topic_name}: the policy's commands "
                "could move a robot; stop the safety node, or replay in another domain"
            )

    def _compare(self, message: JointTrajectory) -> None:
        if not self._begun or not message.points:
            return
        try:
            stamp, times, actions = bridge.chunk(message, self._action)
            self.playback.compare(stamp + int(times[0]), actions[0])
            self._problem = ""
        except InputError as error:
            self._problem = str(error)

    def _publish_status(self) -> None:
        if self._begun:
            self._refuse_a_live_robot()
        report = self.playback.report()
        share = report["mean_share_of_range"]
        fault = (self._begun and self._sim_clock.conflict()) or self._qos.fault() or self._problem
        status = bridge.status(
            "warn" if fault else "ok",
            "replay_node: comparison",
            fault or self._waiting or "playing",
            {
                "bag": self._bag,
                "played s": f"{(self.now - self.playback.begin) * 1e-9:.1f}",
                "points compared": report["points"],
                "messages of the bag dropped": sum(report["dropped"].values()),
                "mean difference, share of range": "none" if share is None else f"{share:.4f}",
                **{f"mean difference, {n}": f"{joint['mean']:.4f}" for n, joint in report["joints"].items()},
            },
        )
        self._status.publish(status)
        self._diagnostics.publish(bridge.diagnostics(self, status))

    def _finish(self) -> None:
        report = self.playback.report()
        if not report["points"]:
            raise InputError(
                "the policy commanded nothing while the bag was played; its /diagnostics give "
                "the reason. It needs use_sim_time, and to be active"
            )
        for name, joint in report["joints"].items():
            self.get_logger().info(f"{name}: mean difference {joint['mean']:.4f}, largest {joint['max']:.4f}")
        self.get_logger().info(
            f"{report['points']} set-points compared, mean difference "
            f"{100 * report['mean_share_of_range']:.2f} % of the range"
        )
        if report["dropped"]:
            self.get_logger().warning(f"dropped from the bag: {summary(self.playback.dropped)}")
        if self._report:
            path = Path(self._report).expanduser()
            aside = path.with_name(f".{path.name}")
            try:
                aside.write_text(json.dumps(report, indent=1) + "\n")
                aside.rename(path)
            except OSError as error:
                raise InputError(f"cannot write {path}: {error.strerror}; give another file") from error
        raise SystemExit(0)


def main() -> int:
    """The executable."""
    return bridge.run(ReplayNode)


if __name__ == "__main__":
    sys.exit(main())
