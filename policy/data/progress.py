"""One line on a terminal that shows how far a command is; nothing where its output is a file."""

import sys
from time import monotonic
from typing import Any

PAUSE = 0.2  # s between two updates


class Progress:
    """`label: 42 %`, of a total that may be given later; the line is gone when it ends."""

    def __init__(self, label: str, total: int = 0) -> None:
        self._label, self._total, self._done = label, total, 0
        self._shown = 0.0
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: Any) -> None:
        self._clear()

    def add(self, done: int) -> None:
        """So much more is done."""
        self.at(self._done + done, self._total)

    def at(self, done: int, total: int) -> None:
        """So much of the total is done."""
        self._done, self._total = done, total
        if not self._terminal or monotonic() - self._shown < PAUSE:
            return
        self._shown = monotonic()
        share = f"{min(done / total, 1):.0%}" if total else str(done)
        sys.stderr.write(f"\r\033[K{self._label}: {share}")
        sys.stderr.flush()

    def print(self, line: str) -> None:
        """A line that stays."""
        self._clear()
        print(line, flush=True)

    def _clear(self) -> None:
        if self._terminal and self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
