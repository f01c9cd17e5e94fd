"""Where a clock was set back inside a file: seen in the order in which the recorder wrote, which sorting would hide.

    joints    1.0   1.1   1.2               0.0   0.1           a topic's own times fall
    camera       1.0         1.2      0.0            0.1        written before it, and behind: of the new run, too
    run      |0 .....................|1 ....................

The times of two topics do not tell: a busy recorder writes one of them late, and some tools write one after the other.
"""

SET_BACK = 500_000_000  # ns by which a message is received before another, if the clock was set back between them
BEFORE = -(2**62)  # ns: before any time

Place = tuple[int, int]  # of a message: where it or its chunk begins, and how many come before it in the chunk


class StorageOrder:
    """Takes the messages of one file in the order of storage; `begins` are the places at which another run begins."""

    def __init__(self) -> None:
        self.begins: list[Place] = []
        self._newest: dict[int, int] = {}  # ns, by topic
        self._latest = BEFORE  # of all topics
        self._behind: Place | None = None  # the first of the messages in a row that are behind the latest

    def take(self, topic: int, stamp: int, place: Place) -> None:
        """The next message: the number of its topic and when it was received [ns]."""
        newest = self._newest.get(topic, BEFORE)
        if stamp >= self._latest - SET_BACK:
            self._behind = None
            self._latest = max(self._latest, stamp)
        else:
            self._behind = self._behind or place
            if stamp < newest - SET_BACK:
                self.begins.append(self._behind)
                self._newest.clear()
                self._behind, self._latest, newest = None, stamp, stamp
        self._newest[topic] = max(newest, stamp)
