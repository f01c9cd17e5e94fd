"""Folders that commands write into: refused in a sentence, and before the work where that can be told."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from policy.errors import InputError

EVALUATION = "settings.json"  # in a folder of sim.evaluate
LOCK = ".lock"  # in a folder that one command alone writes; locked while it runs


def require(folder: Path) -> None:
    """`InputError` where a folder can neither be written nor made."""
    nearest = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise InputError(f"{nearest} is a file, expected a folder to write into; give another --out")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"{nearest} cannot be written by this user; give another --out, or mend its permissions")


@contextmanager
def writing(path: Path, then: str) -> Iterator[None]:
    """Turn a full disk or a missing permission into an `InputError` that says what to do then."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror or error}); {then}") from None


def make(folder: Path) -> None:
    """Make a folder and those above it, where they are not there; `InputError` where that is not possible."""
    require(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make {folder} ({error.strerror or error}); free space or give another --out"
        ) from None


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """A folder for one command alone, made where it is not there; `InputError` while another one writes to it."""
    make(folder)
    try:
        file = (folder / LOCK).open("a")
    except OSError as error:
        raise InputError(f"cannot write {folder / LOCK} ({error.strerror}); free space or give another --out") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another command is writing to {folder}, which one alone may do: wait until it is done, or give "
                "another folder"
            ) from None
        yield


def make_for_page(folder: Path) -> None:
    """As `make`, for a command that writes index.html: the page of an evaluation is never overwritten."""
    if (folder / EVALUATION).exists():
        raise InputError(f"{folder} holds an evaluation, whose page would be lost; give another --out")
    make(folder)
