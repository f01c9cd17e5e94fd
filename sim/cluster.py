"""Jobs on the machines of a Ray cluster: the same ones as in worker processes, and the same results.

    ray start --head            on one machine;   ray start --address=<head>:6379   on each other one
    python -m sim.record ... --ray auto

Every machine has this package, and the folders that a command reads and writes at the same paths. A job whose worker or
machine is lost is done again on another one.
"""

import argparse
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from importlib import import_module
from operator import attrgetter
from typing import Any, TypeVar

from policy.errors import InputError

T = TypeVar("T")
Name = tuple[str, str]  # of a function: its module, and its name in it
REACH = 10.0  # s to reach a cluster
AGAIN = 10  # times that a job is begun anew after its worker was lost
INSTALL = 'pip install -e ".[ray]"'

_prepared: set[str] = set()  # of this worker process


def add_argument(parser: argparse.ArgumentParser) -> None:
    """`--ray`."""
    parser.add_argument(
        "--ray", metavar="ADDRESS", default="", help="a Ray cluster in place of --processes: auto, or host:port"
    )


class ClusterPool(Executor):
    """Submits to a cluster; each of its processes is prepared once by `prepare(*arguments)`."""

    def __init__(self, address: str, prepare: Callable[..., None] | None = None, *arguments: object) -> None:
        self._ray, self._prepare, self._arguments = _connect(address), prepare, arguments
        self._work = self._ray.remote(num_cpus=1, max_retries=AGAIN)(_run)
        self._left: list[Any] = []

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """As of any executor; what the job raises is raised as it is."""
        prepare = None if self._prepare is None else _name(self._prepare)
        reference = self._work.remote(os.getcwd(), prepare, self._arguments, _name(fn), args, kwargs)
        self._left.append(reference)
        future: Future[T] = Future()
        reference.future().add_done_callback(lambda done: self._hand_on(done, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster, which goes on for others."""
        for reference in self._left if cancel_futures else []:
            self._ray.cancel(reference)
        self._ray.shutdown()

    @staticmethod
    def _hand_on(done: "Future[T]", future: "Future[T]") -> None:
        error: Any = done.exception()
        if error is None:
            future.set_result(done.result())
        else:
            future.set_exception(getattr(error, "cause", None) or error)


@contextmanager
def cluster(address: str, prepare: Callable[..., None] | None = None, *arguments: object) -> Iterator[ClusterPool]:
    """A pool on a cluster, left at the end; `InputError` where there is none."""
    pool = ClusterPool(address, prepare, *arguments)
    try:
        yield pool
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()


def _connect(address: str) -> Any:
    try:
        import ray
    except ImportError:
        raise InputError(f"--ray {address} needs Ray, which this Python has not; install it with `{INSTALL}`") from None
    host, _, port = address.rpartition(":")
    try:
        if port.isdigit():  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), REACH).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        why = " ".join(str(error).split())
        raise InputError(f"no Ray cluster at {address}: {why}; start one with `ray start --head`") from None
    return ray


def _name(function: Callable[..., Any]) -> Name:
    """Where a function is found: in another process the command's module is not the main one."""
    module = function.__module__
    main = sys.modules["__main__"].__spec__
    return (main.name if module == "__main__" and main is not None else module), function.__qualname__


def _run(
    folder: str,
    prepare: Name | None,
    arguments: tuple[object, ...],
    work: Name,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """In a process of the cluster."""
    os.chdir(folder)
    key = repr((prepare, arguments))
    if prepare is not None and key not in _prepared:
        _found(prepare)(*arguments)
        _prepared.add(key)
    return _found(work)(*args, **kwargs)


def _found(name: Name) -> Callable[..., Any]:
    found: Callable[..., Any] = attrgetter(name[1])(import_module(name[0]))
    return found
