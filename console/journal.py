"""What has happened: a log in words, and the course of the last minute, for browsers that connect later too."""

import time
from collections import deque
from typing import Any

from console.backend import State
from console.messages import number

KEPT = 60  # lines of the log
MINUTE = 60.0  # s of the course
EVERY = 0.1 - 1e-3  # s between two entries of the course
Line = dict[str, str]


class Journal:
    """Looks at each state and notes what has changed."""

    def __init__(self) -> None:
        self._lines: deque[Line] = deque(maxlen=KEPT)
        self._course: deque[tuple[Any, ...]] = deque()  # time, instruction, mode, contact, done, finished
        self._before = State(0.0)

    def all(self) -> dict[str, Any]:
        """The lines, and the course."""
        return {"log": list(self._lines), "course": [(round(at, 2), *rest) for at, *rest in self._course]}

    def add(self, level: str, text: str) -> list[Line]:
        """Note something: its line, none where the last one says the same. `level` is info, warn or error."""
        line = {"at": time.strftime("%H:%M:%S"), "level": level, "text": text}
        if self._lines and {**self._lines[-1], "at": ""} == {**line, "at": ""}:
            return []
        self._lines.append(line)
        return [line]

    def look(self, now: State) -> list[Line]:
        """What is new in a state."""
        self._follow(now)
        before, self._before, lines = self._before, now, list[Line]()
        if now.refused and now.refused != before.refused:
            lines += self.add("warn", f"refused: {now.refused}")
        if now.serves and now.serves != before.serves:
            lines += self.add("info", f"does: {now.serves}")
        if now.finished and not before.finished and now.instruction:
            lines += self.add("info", f"done: {now.instruction}")
        if now.stopped != before.stopped:
            lines += self.add("error", now.stopped) if now.stopped else self.add("info", "the stop is over")
        for fault in now.faults:
            lines += self.add("warn", fault) if fault not in before.faults else []
        return lines

    def _follow(self, now: State) -> None:
        course = self._course
        if course and now.time < course[-1][0]:  # a simulation has begun anew
            course.clear()
        if not course or now.time - course[-1][0] >= EVERY:
            contact, done = number(now.contact), number(now.done)
            course.append((now.time, now.serves, now.mode, contact, done, now.finished))
        while course[-1][0] - course[0][0] > MINUTE:
            course.popleft()
