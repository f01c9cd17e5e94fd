"""Worker processes that do not outlive the command they work for."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from threading import Thread, current_thread, main_thread
from typing import Any, TypeVar

from policy.errors import InputError

T = TypeVar("T")

_refused: InputError | None = None  # by `begin`, in a worker process


class _Pool(ProcessPoolExecutor):
    """A process that `begin` refuses with an `InputError` raises it in its jobs: raised earlier it breaks the pool."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        return super().submit(_work, fn, *args, **kwargs)


def pool(
    processes: int | None = None, begin: Callable[..., None] | None = None, *arguments: Any, preload: str = ""
) -> ProcessPoolExecutor:
    """A pool of new processes, by default as many as there are cores, each prepared by `begin(*arguments)`.

    An `InputError` of `begin` is that of the first job.

    `preload` names a module that is imported once for all of them, not once in each; it must start no thread and open
    no display, as they are forked afterwards.

    Ctrl-C is left to the parent. When the parent is gone, however it ended, so are they: a killed command would
    otherwise leave its pool computing for nobody.
    """
    processes = processes or os.cpu_count() or 1
    context = multiprocessing.get_context("forkserver" if preload else "spawn")
    if preload:
        context.set_forkserver_preload([preload])
    executor = _Pool(processes, context, _initialize, (begin, *arguments))
    with _interrupts_ignored():  # which the new processes inherit, from their first moment on
        for _ in range(processes):
            executor.submit(int)
    return executor


def end(pool: ProcessPoolExecutor) -> None:
    """End a pool at once, its processes too."""
    pool.shutdown(wait=False, cancel_futures=True)
    processes = multiprocessing.active_children()
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if current_thread() is not main_thread():  # only that one may set signals
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _initialize(begin: Callable[..., None] | None, *arguments: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where the pool was not begun by the main thread
    Thread(target=_exit_with_parent, daemon=True).start()
    if begin is not None:
        global _refused
        try:
            begin(*arguments)
        except InputError as error:
            _refused = error


def _work(job: Callable[..., T], *arguments: Any, **named: Any) -> T:
    if _refused is not None:
        raise _refused
    return job(*arguments, **named)


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
