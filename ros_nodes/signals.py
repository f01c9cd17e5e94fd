"""SIGINT and SIGTERM end a node, but never in the middle of a file operation.

signal ----------x
without          KeyboardInterrupt, at whatever line this process is
uninterrupted    |-- write -- index --| KeyboardInterrupt
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _State:
    deferring = 0  # depth of `uninterrupted`
    pending = came = False


def handle_signals() -> None:
    """From now on the first of the signals raises `KeyboardInterrupt`, and the others are ignored."""
    _State.pending = _State.came = False
    for number in SIGNALS:
        signal.signal(number, _interrupt)


def signalled() -> bool:
    """Whether one of the signals has come."""
    return _State.came


@contextmanager
def uninterrupted() -> Iterator[None]:
    """What is done within is done whole; a signal that comes meanwhile raises at the end."""
    _State.deferring += 1
    try:
        yield
    finally:
        _State.deferring -= 1
        if _State.pending and not _State.deferring:
            _State.pending = False
            raise KeyboardInterrupt


def _interrupt(*_: object) -> None:
    _State.came = True
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # a second one must not interrupt the cleanup
    if _State.deferring:
        _State.pending = True
        return
    raise KeyboardInterrupt
