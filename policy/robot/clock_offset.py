"""How far the stamps of each topic are from our clock: another machine's clock, or a driver's delay.

our clock    ------|-----------|-----------|--->      a message arrives
its stamp    --x-----------x-----------x------->      offset = stamp - arrival: < 0 behind, > 0 ahead
"""

from collections import deque
from statistics import median

KEEP = 100  # messages of a topic
LEAST = 20  # messages until an offset is judged
LIMIT_NS = 50_000_000


class ClockOffset:
    """The median offset of each topic over its newest `KEEP` messages; times in ns."""

    def __init__(self) -> None:
        self._offsets: dict[str, deque[int]] = {}

    def add(self, topic: str, stamp: int, now: int) -> None:
        """A message with that header stamp arrived at `now`."""
        self._offsets.setdefault(topic, deque(maxlen=KEEP)).append(stamp - now)

    def offset(self, topic: str) -> int | None:
        """Stamp less arrival [ns], None before `LEAST` messages."""
        offsets = self._offsets.get(topic, ())
        return round(median(offsets)) if len(offsets) >= LEAST else None

    def fault(self) -> str:
        """The topics whose stamps are more than 50 ms off, "" where there is none."""
        sentences = []
        for topic in self._offsets:
            offset = self.offset(topic)
            if offset is not None and abs(offset) > LIMIT_NS:
                sentences.append(
                    f"{topic}: stamps are {abs(offset) / 1e6:.0f} ms {'ahead of' if offset > 0 else 'behind'}"
                )
        if not sentences:
            return ""
        return (
            f"{', '.join(sentences)} our clock (median), expected at most {LIMIT_NS / 1e6:.0f} ms; "
            "synchronise the machines' clocks (chrony or PTP), or mend the driver's stamps"
        )

    def clear(self) -> None:
        """Forget all messages, as after a jump of the clock."""
        self._offsets.clear()
