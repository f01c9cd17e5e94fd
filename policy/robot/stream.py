"""One field of the contract as it arrives: its newest values, their times, and why messages are dropped."""

from collections import deque
from typing import Any

import numpy as np

from policy.robot import continuous
from policy.robot.sources import Camera, Source

JOINTS_KEPT = 1024  # messages: a second of joints at 1 kHz
NEVER = -(2**63)


class Stream:
    """The newest `keep` values of one field, and its health."""

    def __init__(self, name: str, source: Camera | Source, keep: int) -> None:
        self.name, self.source = name, source
        self.stamps: deque[int] = deque(maxlen=keep)
        self.values: deque[Any] = deque(maxlen=keep)
        self.turns = np.zeros(0) if isinstance(source, Camera) else source.turns  # see policy.robot.continuous
        self.max_age = round(source.max_age * 1e9)
        self.last = NEVER  # stamp of the newest message
        self.behind = 0  # messages in a row from before it
        self.fault = ""  # why messages are dropped now, "" when they are not
        self.dropped = 0  # since the fault began
        self.others: list[str] | None = None  # the joints of the newest message that names none of this field's

    def stamp(self, message: Any, receive_ns: int, correction: int) -> int:
        """The message's time in ns, by the contract's rule; `correction` is added to a header's."""
        if self.source.stamp == "receive" or not hasattr(message, "header"):
            return receive_ns
        at = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        return at + correction if at else receive_ns  # an unset stamp: a trajectory that is to start now

    def newest(self, at: int) -> int | None:
        """Index of the newest value at or before a time."""
        for i in range(len(self.stamps) - 1, -1, -1):
            if self.stamps[i] <= at:
                return i
        return None

    def fresh(self, at: int) -> int | None:
        """Index of the newest value at or before a time that is not older than the contract allows."""
        i = self.newest(at)
        return None if i is None or at - self.stamps[i] > self.max_age else i

    def append(self, at: int, value: Any) -> None:
        """Keep a value; of joints that turn without end, counted on from the one before."""
        if self.turns.any() and self.values:
            value = continuous.near(value, self.values[-1], self.turns)
        self.last, self.behind = at, 0
        self.stamps.append(at)
        self.values.append(value)

    def clear(self) -> None:
        """Forget all values and times."""
        self.stamps.clear()
        self.values.clear()
        self.last, self.behind = NEVER, 0
