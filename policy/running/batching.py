"""Calls of several robots, each in a thread of its own, put together into one run of the graph.

    robot 1   run(feed) --|
    robot 2    run(feed) ---|      one run, B = 3      each gets its row
    robot 3       run(feed) --|
              |<-- window -->|

Nobody waits for more: a run begins when all robots have called, or the window is over. What comes while a run is under
way makes the next one.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from policy.running.graph import Values, on_host

WINDOW_S = 0.002  # for which the first call waits for others
MOST = 64  # robots in one run


@dataclass(slots=True, eq=False)
class _Call:
    feed: Values
    outputs: Values | None = None
    error: BaseException | None = None


class Batching:
    """One graph for several robots: `robot` while one of them is there, `run` from its thread.

    `window_s` None waits for all robots, however long it takes: for those whose clock stands meanwhile.
    """

    def __init__(self, run: Callable[[Values], Values], window_s: float | None = WINDOW_S, most: int = MOST) -> None:
        self.window_s, self.robots = window_s, 0
        self.runs = self.calls = 0  # of the graph, of the robots
        self._run, self._most = run, most
        self._waiting: list[_Call] = []
        self._running = False
        self._changed = threading.Condition()

    @contextmanager
    def robot(self) -> Iterator[None]:
        """One robot more is there, for whose calls the others wait."""
        with self._changed:
            self.robots += 1
        try:
            yield
        finally:
            with self._changed:
                self.robots -= 1
                self._changed.notify_all()

    def run(self, feed: Values) -> Values:
        """As `Session.run`; raises what the graph raises for this feed."""
        call = _Call(feed)
        with self._changed:
            self._waiting.append(call)
            self._changed.notify_all()
            self._changed.wait_for(lambda: _answered(call) or (not self._running and self._waiting[0] is call))
            if not _answered(call):  # the first of those that wait runs the graph for all
                self._changed.wait_for(lambda: len(self._waiting) >= min(self.robots, self._most), self.window_s)
                together, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                self._running = True
        if not _answered(call):
            self._answer(together)
        if call.error is not None:
            raise call.error
        assert call.outputs is not None
        return call.outputs

    def _answer(self, calls: list[_Call]) -> None:
        try:
            self._run_together(calls)
        except BaseException as error:  # an interrupt of this thread: the others must not wait for ever
            for call in calls:
                call.error = error
            raise
        finally:
            with self._changed:
                self._running = False
                self.runs, self.calls = self.runs + 1, self.calls + len(calls)
                self._changed.notify_all()

    def _run_together(self, calls: list[_Call]) -> None:
        """One run for all; each by itself if that fails, so that what one robot sent fails that one alone."""
        try:
            outputs = self._run(_joined([call.feed for call in calls]))
        except Exception as error:
            if len(calls) == 1:
                calls[0].error = error
                return
            for call in calls:
                self._run_together([call])
            return
        if len(calls) == 1:
            calls[0].outputs = outputs
            return
        ends = np.cumsum([_batch(call.feed) for call in calls])
        split = {name: np.split(on_host(value), ends[:-1]) for name, value in outputs.items()}
        for i, call in enumerate(calls):
            call.outputs = {name: parts[i] for name, parts in split.items()}


def _answered(call: _Call) -> bool:
    return call.outputs is not None or call.error is not None


def _batch(feed: Values) -> int:
    return len(next(value for value in feed.values() if isinstance(value, np.ndarray)))


def _joined(feeds: list[Values]) -> Values:
    """Feeds one after the other."""
    if len(feeds) == 1:
        return feeds[0]
    return {name: np.concatenate([on_host(feed[name]) for feed in feeds]) for name in feeds[0]}
