"""Worker processes that do not outlive the command they work for."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from threading import Thread
from typing import Any


def pool(
    processes: int | None = None, begin: Callable[..., None] | None = None, *arguments: Any
) -> ProcessPoolExecutor:
    """A pool of new processes, by default as many as there are cores, each prepared by `begin(*arguments)`.

    Ctrl-C is left to the parent. When the parent is gone, however it ended, so are they: a killed command would
    otherwise leave its pool computing for nobody.
    """
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _enlist, (begin, *arguments))


def end(pool: ProcessPoolExecutor) -> None:
    """End a pool at once, with what its processes are doing."""
    pool.shutdown(wait=False, cancel_futures=True)
    for process in multiprocessing.active_children():
        process.terminate()


def _enlist(begin: Callable[..., None] | None, *arguments: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_follow, daemon=True).start()
    if begin is not None:
        begin(*arguments)


def _follow() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
