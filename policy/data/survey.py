"""A first look at a bag: how many messages each topic has, when they came, and the time in their headers."""

import struct
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from policy.data.bags import messages
from policy.data.definitions import begins_with_header

NS = 10**9


@dataclass(slots=True)
class Times:
    """One topic's messages."""

    received: array = field(default_factory=lambda: array("q"))  # type: ignore[type-arg]  # int64 (N,) ns
    header: array = field(default_factory=lambda: array("q"))  # type: ignore[type-arg]  # int64 (N,) ns, 0 where unset

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Reception and header, (N,) ns."""
        return np.array(self.received, np.int64), np.array(self.header, np.int64)


def survey(bag: Path, wanted: Mapping[str, str]) -> tuple[dict[str, Times], Counter[str]]:
    """Topic -> its times, of the topics wanted, and what the bag promises and does not hold."""
    topics: dict[str, Times] = {}
    dropped: Counter[str] = Counter()
    for raw in messages(bag, wanted, dropped):
        times = topics.setdefault(raw.topic.lstrip("/"), Times())
        times.received.append(raw.stamp)
        times.header.append(header_stamp(raw.data) if begins_with_header(raw.type, raw.definition) else 0)
    return topics, dropped


def hertz(topics: Mapping[str, Times]) -> dict[str, float]:
    """The median rate of each topic with three messages or more."""
    rates = {}
    for topic, times in topics.items():
        received, header = times.arrays()
        gaps = np.diff(header if len(header) and (header != 0).all() else received)
        if len(gaps) > 1 and np.median(gaps) > 0:
            rates[topic] = NS / float(np.median(gaps))
    return rates


def header_stamp(data: bytes) -> int:
    """The stamp of a serialised message that begins with a header, in ns; 0 where it is unset."""
    if len(data) < 12:
        return 0
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return int(seconds) * NS + int(nanoseconds)
