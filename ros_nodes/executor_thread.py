"""Work that other threads have for the one that spins a node: what rclpy waits for may be destroyed there alone."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from rclpy.node import Node

from policy.errors import InputError

T = TypeVar("T")
PATIENCE = 5.0  # s


def in_executor(node: Node, act: Callable[[], T]) -> T:
    """Return what `act` returns in the thread that spins `node`, called from any other thread.

    Where another thread destroys a publisher while rclpy collects what to wait for, its executor ends with an
    exception, and the node with it. `InputError` where the node is not spun.
    """
    executor = node.executor
    if executor is None:
        raise InputError(f"{node.get_name()} is not spun: it has ended, or was not added to an executor")
    done = Future[T]()

    def run() -> None:
        try:
            done.set_result(act())
        except BaseException as error:
            done.set_exception(error)

    executor.create_task(run)
    try:
        return done.result(PATIENCE)
    except TimeoutError:
        raise InputError(f"{node.get_name()} did not answer within {PATIENCE:g} s") from None
