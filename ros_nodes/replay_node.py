"""A bag as the robot's sensors: a policy answers, its set-points are compared with the demonstrated ones.

    ros2 run midstream replay_node --ros-args -p bag:=bags/<episode> -p contract:=tabletop

    publishes    the bag's sensor topics and instruction as they were recorded, and /clock at their time
    subscribes   policy/<topic>, where the policy's trajectories go; of each, the first point is compared

Nothing is moved: it refuses to play where a safety node listens to the policy or a robot publishes its
sensors. The policy runs with use_sim_time. It ends with the bag, by itself.
"""

import json
import sys
from functools import partial
from pathlib import Path
from time import monotonic_ns
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from trajectory_msgs.msg import JointTrajectory

from policy.errors import InputError
from policy.robot import contract as contracts
from ros_nodes import bridge
from ros_nodes.bridge import LATCHED, OVERRIDES, SENSOR_OUT, STEADY
from ros_nodes.playback import Playback

TICK = 0.005  # s between two looks at the bag
DISCOVERY = 2_000_000_000  # ns in which other nodes are found, before anything is played
AFTER = 1_000_000_000  # ns after the last message, for the policy's last answer


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
        self.playback = Playback(self._bag, contract)
        self._created, self._begun = monotonic_ns(), 0
        self._told = ""
        instruction = bridge.relative(contract.instruction)
        self._outputs = {
            topic: self.create_publisher(
                bridge.TYPES[kind],
                topic,
                LATCHED if topic == instruction else SENSOR_OUT,
                qos_overriding_options=OVERRIDES,
            )
            for topic, kind in self.playback.played.items()
        }
        self._time = self.create_publisher(Clock, "/clock", 10)
        self._answers = []
        for topic, _, _ in contract.split(np.zeros(len(contract.spec.action))):
            name = bridge.relative(topic)
            self._answers.append(
                self.create_subscription(
                    JointTrajectory,
                    f"policy/{name}",
                    partial(self._answer, name),
                    QoSProfile(depth=10),
                    qos_overriding_options=OVERRIDES,
                )
            )
        self._status = self.create_publisher(DiagnosticStatus, "~/status", LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(TICK, self._play, clock=STEADY)
        self.create_timer(1.0, self._tell, clock=STEADY)

    @property
    def now(self) -> int:
        """The bag's time [ns]: it stands at the beginning until a policy is there."""
        return self.playback.begin + (monotonic_ns() - self._begun if self._begun else 0)

    def _play(self) -> None:
        if not self._begun:
            if not self._ready():
                return
            self._begun = monotonic_ns()
        self._time.publish(Clock(clock=bridge.stamp(self.now)))
        for raw in self.playback.due(self.now):
            self._outputs[raw.topic.lstrip("/")].publish(raw.data)
        if self.now > self.playback.end + AFTER:
            self._finish()

    def _ready(self) -> bool:
        """Whether a policy is there to see and to answer, and nobody who could move."""
        if monotonic_ns() - self._created < DISCOVERY:
            return False
        self._refuse_a_live_robot()
        deaf = [t for t, p in self._outputs.items() if not p.get_subscription_count()]
        mute = [s.topic_name for s in self._answers if not self.count_publishers(s.topic_name)]
        waiting = f"waiting for a policy on {', '.join(deaf + mute)}" if deaf or mute else ""
        if waiting and waiting != self._told:
            self.get_logger().info(waiting)
        self._told = waiting
        return not waiting

    def _refuse_a_live_robot(self) -> None:
        for publisher in (*self._outputs.values(), self._time):
            if self.count_publishers(publisher.topic_name) > 1:
                raise InputError(
                    f"somebody else publishes {publisher.topic_name}: a robot or another bag is "
                    "live here; stop it, or replay in another domain or namespace"
                )
        for subscription in self._answers:
            if self.count_subscribers(subscription.topic_name) > 1:
                raise InputError(
                    f"somebody else listens on {subscription.topic_name}: the policy's answers "
                    "could move a robot; stop the safety node, or replay in another domain"
                )

    def _answer(self, topic: str, message: JointTrajectory) -> None:
        if self._begun:
            times, positions, _ = bridge.points(message)
            self.playback.compare(topic, list(message.joint_names), self.now + int(times[0]), positions[0])

    def _tell(self) -> None:
        if self._begun:
            self._refuse_a_live_robot()
        report = self.playback.report()
        share = report["mean_share_of_range"]
        words = "playing" if self._begun else self._told or "waiting for other nodes to be found"
        status = bridge.status(
            "ok",
            "replay_node: comparison",
            words,
            {
                "bag": self._bag,
                "played s": f"{(self.now - self.playback.begin) * 1e-9:.1f}",
                "points compared": report["points"],
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
                "the policy commanded nothing while the bag was played; its /diagnostics say "
                "why. It needs use_sim_time, and to be active"
            )
        for name, joint in report["joints"].items():
            self.get_logger().info(f"{name}: mean difference {joint['mean']:.4f}, largest {joint['max']:.4f}")
        self.get_logger().info(
            f"{report['points']} set-points compared, mean difference "
            f"{100 * report['mean_share_of_range']:.2f} % of the range"
        )
        if self._report:
            path = Path(self._report).expanduser()
            aside = path.with_name(f".{path.name}")
            aside.write_text(json.dumps(report, indent=1) + "\n")
            aside.rename(path)
        sys.exit(0)


def main() -> int:
    """The executable."""
    return bridge.run(ReplayNode)


if __name__ == "__main__":
    sys.exit(main())
