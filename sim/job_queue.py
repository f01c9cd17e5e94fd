"""Jobs in worker processes or threads: results in the order in which they are done, and a clean end on Ctrl-C."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

from policy.data.workers import pool as new_pool
from policy.errors import InputError
from sim.cluster import cluster

Job = TypeVar("Job")
Result = TypeVar("Result")


@contextmanager
def workers(
    processes: int, prepare: Callable[..., None] | None = None, *arguments: object
) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes are each prepared by `prepare(*arguments)`; an error or Ctrl-C cancels what waits.

    The first process is ready: what `prepare` refuses is said before anything is written.
    """
    if processes < 1:
        raise InputError(f"--processes {processes}: expected a whole number of at least 1")
    with new_pool(processes, prepare, *arguments) as pool, _cancelled(pool):
        pool.submit(int).result()
        yield pool


@contextmanager
def robots(count: int, prepare: Callable[..., None], *arguments: object) -> Iterator[ThreadPoolExecutor]:
    """As `workers`, in threads of this process, which begin together; after Ctrl-C what is under way ends first."""
    ready, refused = threading.Barrier(count), list[InputError]()

    def begin() -> None:
        try:
            prepare(*arguments)
        except InputError as error:  # raised here it would be a traceback
            refused.append(error)
            ready.abort()  # nobody waits for this one
        except BaseException:
            ready.abort()
            raise

    def wait() -> None:
        try:
            ready.wait()
        except threading.BrokenBarrierError:
            if refused:
                raise refused[0] from None
            raise

    with ThreadPoolExecutor(count, initializer=begin) as pool, _cancelled(pool):
        for waiting in [pool.submit(wait) for _ in range(count)]:
            waiting.result()
        yield pool


@contextmanager
def _cancelled(pool: Executor) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        pool.shutdown(cancel_futures=True)
        print("stopped; the same command continues where it stopped", file=sys.stderr)
        raise SystemExit(130) from None
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise


def run_jobs(
    work: Callable[[Job], Result], jobs: Sequence[Job], processes: int, unit: str, ray: str = ""
) -> Iterator[Result]:
    """The result of `work` for each job, in any order, with a progress bar; `ray`: the address of a cluster."""
    with cluster(ray) if ray else workers(processes) as pool:
        futures = [pool.submit(work, job) for job in jobs]
        for done in tqdm(as_completed(futures), total=len(futures), unit=unit):
            yield done.result()
