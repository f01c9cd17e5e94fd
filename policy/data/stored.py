"""What every kind of recording is to the rest of the house: found, told apart from a changed one, and read.

    source.find(folder) -> StoredRecording, ...     rosbag2: a bag; LeRobot: an episode of a data set
    recording.mark()    -> what the cache compares
    recording.read()    -> Recording: frames, episodes, set-points, findings; pictures are handed on one by one

`policy.data.sources` is the registry. What comes after `read` (cache, checks, windows) knows no formats.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from policy.data.bag_reader import Take
from policy.data.contents import Contents
from policy.data.findings import Finding
from policy.data.recording import Recording
from policy.errors import InputError
from policy.robot.contract import Contract


@contextmanager
def one_sentence(path: Path) -> Iterator[None]:
    """Whatever reading a recording leads to, as an `InputError`: what nobody thought of in one does not end the others.

    What the machine lacks, memory or room on the disk, is no fault of the recording.
    """
    try:
        yield
    except (InputError, OSError, MemoryError):
        raise
    except Exception as error:
        raise InputError(
            f"{path} cannot be read ({type(error).__name__}: {error}), expected a whole recording; take it away, and "
            "report this with the file"
        ) from error


class StoredRecording(ABC):
    """One recording where it lies; it travels to worker processes."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name  # below the folder in which it was found, of which it is the only one
        self.path = path  # the file or folder that holds it

    @property
    @abstractmethod
    def sources(self) -> tuple[str, ...]:
        """The recordings that it was made of, itself where it was made of none."""

    @abstractmethod
    def mark(self) -> list[list[Any]]:
        """Names, sizes and times of its files, as JSON: with others it is another recording.

        `InputError` if they cannot be seen.
        """

    @abstractmethod
    def read(self, contract: Contract, begin: Callable[[int], Take]) -> Recording:
        """Its frames by a contract; `begin` gets the most there can be, and what it returns the pictures of each.

        `InputError` where it does not fit the contract or cannot be read.
        """

    @property
    @abstractmethod
    def size(self) -> int:
        """About how much there is to look through [bytes]."""

    @abstractmethod
    def contents(self, seen: Callable[[int], None]) -> Contents:
        """What it holds, without a contract; `seen` gets the bytes that were looked through. `InputError` as `read`."""


class Source(Protocol):
    """One format of recordings."""

    def find(self, folder: Path) -> Sequence[StoredRecording]:
        """Those at or below a folder, sorted; none where there is none."""

    def passed_over(self, folder: Path) -> list[Finding]:
        """What lies there and is not read, with what to do."""
