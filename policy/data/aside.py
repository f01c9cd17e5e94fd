"""Where a process writes what is renamed to its place when it is whole, beside others that do so in the same folder.

<folder>/.writing/lock       shared by all who write there
<folder>/.writing/<own>/...  of one writer; what a killed one left is there until the last one of the others is done
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import IO


@contextmanager
def room(folder: Path) -> Iterator[Path]:
    """A directory of one's own in a folder; it is gone afterwards, and with the last one what was left by killed ones.

    A lock and not the number of a process says who is alive: processes of a cluster have the same numbers.
    """
    writing = folder / ".writing"
    with _shared_lock(writing) as lock:
        own = Path(mkdtemp(dir=writing))
        try:
            yield own
        finally:
            shutil.rmtree(own, ignore_errors=True)
            with suppress(OSError):  # others write there: the last one clears up
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(writing, ignore_errors=True)


def _shared_lock(writing: Path) -> IO[str]:
    """The lock of a folder that is made for it, held beside others until it is closed or the process ends."""
    writing.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with suppress(FileExistsError):
            writing.mkdir()
        try:
            lock = (writing / "lock").open("a+")
        except FileNotFoundError:  # the last one has just cleared up
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            if os.path.samestat(os.fstat(lock.fileno()), (writing / "lock").stat()):
                return lock
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE):  # cleared up after it was opened
                lock.close()
                raise
        lock.close()
