"""Bags of rosbag2 as a source of recordings."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from policy.data import bag_files, recording
from policy.data.bag_files import data_files
from policy.data.bag_notes import notes, unmatched
from policy.data.bag_reader import Take
from policy.data.contents import Contents, contents
from policy.data.findings import Finding
from policy.data.recording import Recording
from policy.data.stored import StoredRecording, one_sentence
from policy.errors import InputError
from policy.robot.contract import Contract

LOG = "-wal"  # of a database: what a killed recorder had not written into it yet
INDEX_OF_LOG = "-shm"  # made anew by who reads it


class Bag(StoredRecording):
    """A rosbag2 directory, or a file by itself."""

    @property
    def sources(self) -> tuple[str, ...]:
        """What its metadata names, else its own name."""
        return recording.sources(self.path)

    def mark(self) -> list[list[Any]]:
        """Of its files and of its notes."""
        bag = self.path
        try:
            # a folder may be given as ".", which has no name
            files = [bag, bag.with_name(f"{bag.name}{LOG}")] if bag.is_file() else sorted(bag.iterdir())
            files = [f for f in files if f.is_file() and not f.name.endswith(INDEX_OF_LOG)]
            marks = [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files]
            return [*marks, [*asdict(notes(bag)).values()]]
        except OSError as error:
            raise InputError(f"{bag} cannot be read ({error.strerror or error}); mend it or take it away") from error

    def read(self, contract: Contract, begin: Callable[[int], Take]) -> Recording:
        """Its messages through the streams of a live robot."""
        with one_sentence(self.path):
            return recording.read(self.path, contract, begin)

    @property
    def size(self) -> int:
        """Of its files [bytes]."""
        return sum(file.stat().st_size for file in data_files(self.path))

    def contents(self, seen: Callable[[int], None]) -> Contents:
        """Its topics."""
        with one_sentence(self.path):
            return contents(self.path, seen)


class Rosbag2:
    """Bags at or below a folder, and what is beside them."""

    def find(self, folder: Path) -> list[Bag]:
        """All bags, sorted; each is named by its place below the folder."""
        base = folder if folder.is_dir() else folder.parent
        return [
            Bag(bag.absolute().name if bag == base else str(bag.relative_to(base)), bag)
            for bag in bag_files.bags_in(folder)
        ]

    def passed_over(self, folder: Path) -> list[Finding]:
        """Files that are not read, and names in bags.yaml that are not there."""
        return [*bag_files.passed_over(folder), *unmatched(bag_files.bags_in(folder))]
