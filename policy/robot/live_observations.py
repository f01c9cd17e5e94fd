"""A live robot's messages into frames, and what is wrong with the sensors: late, silent, unusable.

A bag can wait for a later joint state to be sure that none of before is still to come; a robot cannot: with
joints at 100 Hz that is 5 ms on average. Here a frame is released when all cameras have given their picture
of that time. It differs from the bag's only where a joint state is overtaken by a later image.
"""

from collections import Counter, deque
from typing import Any

from policy.robot.bounded_counter import BoundedCounter
from policy.robot.clock_offset import ClockOffset
from policy.robot.contract import Contract
from policy.robot.joint_consistency import JointConsistency
from policy.robot.sources import Camera, Source
from policy.robot.streams import Streams
from policy.spec import Frame

ANEW = 1_000_000_000  # ns: a clock that is set back further is that of a simulation or a replay that begins anew
FUTURE = 200_000_000  # ns that a stamp may be ahead of our clock: two machines, or one tick of a simulation


class LiveObservations:
    """The stream buffer behind a gate of stamps; `silence` in s is how long a topic may be silent.

    `consistency.publishers` is to be kept up to date by who sees the graph. Times `now` are the robot's clock,
    `steady` a clock that nobody sets; both ns.
    """

    def __init__(self, contract: Contract, silence: float, steady: int) -> None:
        self._streams = Streams(contract, live=True)
        self._silence, self._slop = round(silence * 1e9), contract.spec.dt_ns // 4
        sources: list[Camera | Source] = [*contract.cameras.values(), *contract.state]
        self._stamped = {s.topic.lstrip("/"): s.stamp == "header" for s in sources}
        self._max_age = {s.topic.lstrip("/"): round(s.max_age * 1e9) for s in sources}
        self._heard = dict.fromkeys(self._stamped, steady)  # topic -> steady ns of its newest usable message
        self._wrong = dict.fromkeys(self._stamped, "")  # topic -> why its newest message was not usable
        self._framed, self._frameless = steady, ""
        self._now = 0
        self._dropped: Counter[str] = Counter()
        self.dropped = BoundedCounter()  # reason -> messages and frames that could not be used
        self.received: Counter[str] = Counter()  # topic -> messages
        self.clocks = ClockOffset()
        self.consistency = JointConsistency(contract)
        self.skew: deque[float] = deque(maxlen=512)  # s between the newest images when a frame is due
        # topic of a camera -> stamp of its newest image, ns
        self._images = {c.topic.lstrip("/"): 0 for c in contract.cameras.values()}

    def push(self, topic: str, message: Any, now: int, steady: int) -> list[Frame]:
        """Take a message of a topic of the contract; returns the frames that are due."""
        topic = topic.lstrip("/")
        self.received[topic] += 1
        if now < self._now:  # the clock was set back
            self._streams.clear(self._now if self._now - now < ANEW else None)
            self.clocks.clear()
        self._now = now
        if topic not in self._stamped:  # a command that stands for a state
            self._streams.push(topic, message, now)
            self._unusable()
            return []
        self.consistency.add(topic, message, steady)
        if self._stamped[topic] and (stamp := _stamp(message)):
            self.clocks.add(topic, stamp, now)
        if wrong := self._mistimed(topic, message, now):
            self._wrong[topic] = wrong
            self.dropped.add(f"{topic}: {wrong.split(' by ')[0]}")
            return []
        self._streams.push(topic, message, now)
        self._wrong[topic] = self._unusable()
        if not self._wrong[topic]:
            self._heard[topic] = steady
            if topic in self._images:
                self._images[topic] = _stamp(message) if self._stamped[topic] else now
                if max(self._images.values()) - min(self._images.values()) <= self._slop:
                    self._streams.flush()
                    self._unusable()
        frames = []
        while (frame := self._streams.frame()) is not None:
            frames.append(frame)
            self._framed, self._frameless = steady, ""
            self.skew.append((max(self._images.values()) - min(self._images.values())) * 1e-9)
        return frames

    def fault(self, steady: int) -> str:
        """What keeps frames from coming or from being trusted, "" where nothing does."""
        if contradiction := self.consistency.fault(steady):
            return contradiction
        for topic, heard in self._heard.items():
            if steady - heard > self._silence:
                return (self._wrong[topic] and f"{topic}: {self._wrong[topic]}") or f"{topic} is silent"
        if steady - self._framed > self._silence:
            return self._frameless or "no frame"
        return ""

    def _mistimed(self, topic: str, message: Any, now: int) -> str:
        if now == 0:
            return "no clock yet: use_sim_time is set and nobody publishes /clock"
        if not self._stamped[topic]:
            return ""
        stamp = _stamp(message)
        if stamp - now > FUTURE:
            return f"stamped in the future by {(stamp - now) * 1e-9:.2f} s"
        if stamp and now - stamp > self._max_age[topic]:
            return f"late by {(now - stamp) * 1e-9:.2f} s"
        return ""

    def _unusable(self) -> str:
        """Why the message just pushed was dropped by the buffer, "" if it was not."""
        new = self._streams.dropped - self._dropped
        self._dropped = Counter(self._streams.dropped)
        self.dropped.update(new)
        unusable = ""
        for reason in new:
            if reason.startswith("frame without"):
                self._frameless = reason
            else:
                unusable = reason
        return unusable


def _stamp(message: Any) -> int:
    """The time in a message's header [ns], 0 where it is unset or there is none."""
    if not hasattr(message, "header"):
        return 0
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)
