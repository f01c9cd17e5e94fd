"""Listens to a robot as the policy node would, and keeps what the doctor judges; nothing is published."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic_ns
from typing import Any

import numpy as np
from rclpy.duration import Duration, Infinite
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import LivelinessPolicy, QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.topic_endpoint_info import TopicEndpointInfo

from policy.errors import InputError
from policy.robot.contract import Contract
from policy.robot.live_observations import LiveObservations
from policy.spec import Frame
from ros_nodes import bridge
from ros_nodes.bridge import SENSOR_IN
from ros_nodes.graph import count_publishers, takers

SILENCE = 0.15  # s, the policy node's sensor_timeout unless another is given
FOUND = 2.0  # s in which nodes find each other


@dataclass
class Arrivals:
    """When the messages of one topic came while all was heard, steady ns."""

    times: list[int] = field(default_factory=list)
    begin: int = 0
    end: int = 0

    @property
    def hertz(self) -> float:
        """The mean rate, 0 where nothing came."""
        return len(self.times) / ((self.end - self.begin) * 1e-9) if self.end > self.begin else 0.0

    @property
    def longest(self) -> float:
        """The longest gap [s], that before the first message and after the last one among them."""
        return float(np.diff([self.begin, *self.times, self.end]).max()) * 1e-9


def mismatch(offered: QoSProfile, asked: QoSProfile) -> str:
    """Why no message passes between a publisher and a subscription, "" where it does."""
    result, why = qos_check_compatible(_resolved(offered), _resolved(asked))
    return why.removeprefix("ERROR: ").rstrip("; ") if result == QoSCompatibility.ERROR else ""


def _resolved(profile: QoSProfile) -> QoSProfile:
    """What a profile becomes in the middleware; 0 stands for no deadline and no lease."""
    return QoSProfile(
        depth=1,
        reliability=profile.reliability,
        durability=profile.durability,
        deadline=_or_infinite(profile.deadline),
        lifespan=Infinite,
        liveliness=profile.liveliness or LivelinessPolicy.AUTOMATIC,
        liveliness_lease_duration=_or_infinite(profile.liveliness_lease_duration),
    )


def _or_infinite(duration: Duration) -> Duration:
    return duration if duration.nanoseconds else Infinite


class Listener(Node):
    """Hears one robot; `listen` for some seconds, then look at what it holds."""

    def __init__(self, contract: Contract, **options: Any) -> None:
        super().__init__("doctor", **options)
        self.contract = contract
        self.observations = LiveObservations(contract, SILENCE, monotonic_ns())
        self.observed = {bridge.relative(topic): kind for topic, kind in contract.observed.items()}
        self.arrivals = {topic: Arrivals() for topic in self.observed}
        self.frames = 0
        self.newest: Frame | None = None
        self.missing: dict[str, str] = {}  # topic -> why its type cannot be read here
        self.faults: Counter[str] = Counter()  # what would hold the arm -> looks at which it did
        self.looks = 0
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self)

    def listen(self, seconds: float) -> None:
        """Wait until nodes are found, then hear all topics for a while."""
        self.spin(FOUND)
        for topic, kind in self.observed.items():
            types = {one.topic_type for one in self.publishers_of(topic)}
            if types and kind not in types:
                continue  # nothing would come
            try:
                self.create_subscription(bridge.message_class(kind), topic, partial(self._take, topic), SENSOR_IN)
            except InputError as error:
                self.missing[topic] = str(error)
        self.spin(FOUND / 4)  # subscriptions are found
        self._begin()
        self.spin(seconds)
        for arrivals in self.arrivals.values():
            arrivals.end = monotonic_ns()

    def spin(self, seconds: float) -> None:
        """Take what comes for a while."""
        end = monotonic_ns() + round(seconds * 1e9)
        while (left := (end - monotonic_ns()) * 1e-9) > 0:
            self._executor.spin_once(timeout_sec=min(left, 0.05))
            self._look()

    def spin_until_done(self, future: Any, seconds: float) -> bool:
        """Whether a call is answered within a time."""
        self._executor.spin_until_future_complete(future, seconds)
        return bool(future.done())

    def publishers_of(self, topic: str) -> Sequence[TopicEndpointInfo]:
        """Of a topic, by the graph."""
        return self.get_publishers_info_by_topic(self.resolve_topic_name(topic))

    def topics_of(self, kind: str, taken: bool = False) -> list[str]:
        """The topics of a type that somebody publishes, or takes."""
        of_type = sorted(name for name, kinds in self.get_topic_names_and_types() if kind in kinds)
        return [name for name in of_type if (takers(self, name) if taken else self.publishers_of(name))]

    def _begin(self) -> None:
        """What was heard before all topics were subscribed to does not count."""
        self.observations = LiveObservations(self.contract, SILENCE, monotonic_ns())
        self.arrivals = {topic: Arrivals(begin=monotonic_ns()) for topic in self.observed}
        self.frames, self.newest = 0, None
        self.faults.clear()
        self.looks = 0

    def _take(self, topic: str, message: Any) -> None:
        steady = monotonic_ns()
        if not self.arrivals[topic].end:
            self.arrivals[topic].times.append(steady)
        now = int(self.get_clock().now().nanoseconds)
        for frame in self.observations.push(topic, message, now, steady):
            self.frames, self.newest = self.frames + 1, frame
        count_publishers(self, self.observations.consistency.publishers)

    def _look(self) -> None:
        self.looks += 1
        if fault := self.observations.fault(monotonic_ns()):
            self.faults[fault] += 1
