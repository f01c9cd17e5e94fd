"""LeRobot data sets as a source of recordings: each of their episodes is one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from policy.data.bag_files import walk
from policy.data.bag_reader import Take
from policy.data.contents import Contents
from policy.data.findings import Finding
from policy.data.lerobot import contents, description, reader
from policy.data.lerobot.episodes import Place, places
from policy.data.lerobot.layout import INFO, SOURCES, TASKS
from policy.data.lerobot.rows import Rows
from policy.data.recording import Recording
from policy.data.stored import StoredRecording, one_sentence
from policy.robot.contract import Contract


class LeRobotEpisode(StoredRecording):
    """One episode of a data set."""

    def __init__(self, name: str, path: Path, place: Place) -> None:
        super().__init__(name, path)
        self._place = place

    @property
    def sources(self) -> tuple[str, ...]:
        """What its rows name, else its data set and number."""
        rows = Rows(self._place)
        if SOURCES in rows.names:
            return tuple(str(rows[SOURCES][0]).split(","))
        return (f"{self.path.absolute().name}/{_named(self._place)}",)

    def mark(self) -> list[list[Any]]:
        """Of the files that it is read from, and its place in them."""
        files = [self.path / INFO, self.path / TASKS, self._place.data]
        files += [clip.path for clip in self._place.clips.values()]
        begins = [clip.begin for clip in self._place.clips.values()]
        return [*map(self._marked, files), [self._place.number, self._place.length, *begins]]

    def _marked(self, file: Path) -> list[Any]:
        """Name, size and time of a file; of one that is not there its name, and `read` says what to do."""
        name = str(file.relative_to(self.path))
        try:
            of = file.stat()
        except OSError:
            return [name]
        return [name, of.st_size, of.st_mtime_ns]

    def read(self, contract: Contract, begin: Callable[[int], Take]) -> Recording:
        """Its rows, which are frames already."""
        with one_sentence(self.path):
            return reader.read(description.load(self.path), self._place, self.sources, contract, begin)

    @property
    def size(self) -> int:
        """Its rows, as `contents` counts them."""
        return self._place.length

    def contents(self, seen: Callable[[int], None]) -> Contents:
        """Its features."""
        with one_sentence(self.path):
            return contents.contents(description.load(self.path), self._place, seen)


class LeRobot:
    """Data sets at or below a folder: folders with meta/info.json."""

    def find(self, folder: Path) -> list[LeRobotEpisode]:
        """The episodes of all data sets, each named by its data set below the folder and its number."""
        found = []
        for root in _data_sets(folder):
            below = "" if root == folder else f"{root.relative_to(folder)}/"
            for place in places(description.load(root)):
                found.append(LeRobotEpisode(f"{below}{_named(place)}", root, place))
        return found

    def passed_over(self, folder: Path) -> list[Finding]:
        """Data sets without an episode."""
        return [
            Finding("warning", "not read", f"{root}: a data set without an episode", "take it away")
            for root in _data_sets(folder)
            if not places(description.load(root))
        ]


def _data_sets(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(directory for directory, _ in walk(folder) if (directory / INFO).is_file())


def _named(place: Place) -> str:
    return f"episode_{place.number:06d}"
