"""Writes a LeRobot data set v3.0: aside, and renamed when it is whole.

    with DataSetWriter(out, contract, video=False) as data:
        data.episode(run, images, success, sources)     an episode is what was recorded on one clock

A switch is in it as the robot saw it: the episode goes on, and its task_index changes from one frame to the next.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np

from policy.data.lerobot import layout, metadata
from policy.data.lerobot.columns import as_arrow, columns, scalars
from policy.data.lerobot.features import features, schema
from policy.data.lerobot.files import TableFiles, VideoFiles
from policy.data.lerobot.pictures import encoded
from policy.data.lerobot.statistics import PictureStatistics, of_numbers
from policy.data.runs import Run
from policy.errors import InputError
from policy.robot.contract import Contract

AT_ONCE = 256  # rows of a row group


class Images(Protocol):
    """A camera's pictures: all that were handed on of a recording."""

    def __getitem__(self, row: int, /) -> np.ndarray: ...


class DataSetWriter:
    """A data set of a contract's robot; `InputError` where there is one already or the disk fills: nothing is left."""

    def __init__(self, out: Path, contract: Contract, video: bool) -> None:
        if out.exists():
            raise InputError(f"{out} is there already; give another name or take it away")
        self.frames = self.episodes = 0
        self._out, self._aside = out, out.with_name(f".{out.name}.part")
        self._features, self._fps = features(contract, video), round(contract.rate)
        self._tasks: dict[str, int] = {}
        self._rows: list[dict[str, Any]] = []  # of meta/episodes
        self._numbers: dict[str, list[np.ndarray]] = {}
        self._pictures = {name: PictureStatistics() for name in self._of("image", "video")}

    @property
    def scratch(self) -> Path:
        """A folder on the same disk for what is needed on the way; it goes with the data set's own."""
        return self._aside / "scratch"

    def __enter__(self) -> Self:
        shutil.rmtree(self._aside, ignore_errors=True)  # of a run that was killed
        self.guarded(lambda: self._aside.mkdir(parents=True))
        self._data = TableFiles(self._aside, layout.DATA, schema(self._features))
        self._videos = {name: VideoFiles(self._aside, layout.VIDEOS, name, self._fps) for name in self._of("video")}
        return self

    def episode(self, run: Run, images: Mapping[str, Images], success: bool | None, sources: Sequence[str]) -> None:
        """One run; `images`: camera -> pictures, of which `run.pictures` are its frames'."""
        self.guarded(lambda: self._episode(run, images, success, sources))

    def guarded(self, do: Callable[[], None]) -> None:
        """What is done to its disk; `InputError` where that fails."""
        try:
            do()
        except OSError as error:
            raise InputError(
                f"cannot write the data set {self._out}: {error.strerror or error}; free space or give a folder that "
                "can be written; nothing of it is left"
            ) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.guarded(self._close)
            if kind is None:
                self.guarded(self._finish)
        finally:
            shutil.rmtree(self._aside, ignore_errors=True)

    def _episode(self, run: Run, images: Mapping[str, Images], success: bool | None, sources: Sequence[str]) -> None:
        count = len(run.stamps)
        values = columns(run, success, sources) | scalars(run, self._tasks, self.episodes, self.frames, self._fps)
        row: dict[str, Any] = {
            "episode_index": self.episodes,
            "tasks": list(dict.fromkeys(part.instruction for part in run.parts)),
            "length": count,
            "dataset_from_index": self.frames,
            "dataset_to_index": self.frames + count,
            "meta/episodes/chunk_index": 0,
            "meta/episodes/file_index": 0,
        }
        row |= {f"data/{key}": value for key, value in self._data.begin().items()}
        for name, files in self._videos.items():
            at, begin = files.begin()
            place = {**at, "from_timestamp": begin, "to_timestamp": begin + count / self._fps}
            row |= {f"videos/{name}/{key}": value for key, value in place.items()}
        seen = {name: PictureStatistics() for name in self._pictures}
        for first in range(0, count, AT_ONCE):
            rows = slice(first, min(first + AT_ONCE, count))
            table = {name: as_arrow(of[rows]) for name, of in values.items()}
            for name in seen:
                packed = self._add(name, images[name.removeprefix(layout.IMAGES)], run, rows, seen[name])
                if name not in self._videos:
                    table[name] = packed
            self._data.write(table)
        statistics = {name: one.statistics() for name, one in seen.items()}
        for name, of in values.items():
            if self._features[name]["dtype"] != "string":
                statistics[name] = of_numbers(of)
                self._numbers.setdefault(name, []).append(of)
        for name, one in seen.items():
            self._pictures[name].merge(one)
        row |= {f"stats/{name}/{key}": value for name, of in statistics.items() for key, value in of.items()}
        self._rows.append(row)
        self.episodes, self.frames = self.episodes + 1, self.frames + count

    def _add(self, name: str, images: Images, run: Run, rows: slice, seen: PictureStatistics) -> list[dict[str, Any]]:
        """The pictures of some rows of a feature: as PNG; none of a video, which takes them in."""
        packed = []
        for row in range(rows.start, rows.stop):
            image = images[int(run.pictures[row])]
            seen.add(image)
            if name in self._videos:
                self._videos[name].add(image)
            else:
                packed.append({"bytes": encoded(image), "path": f"frame-{row:06d}.png"})
        return packed

    def _close(self) -> None:
        self._data.close()
        for files in self._videos.values():
            files.close()

    def _finish(self) -> None:
        """meta/, then the folder's own name."""
        if not self._rows:
            raise InputError(f"nothing to write into {self._out}: no frame fits the contract; see `policy.check`")
        statistics = {name: one.statistics() for name, one in self._pictures.items()}
        statistics |= {name: of_numbers(np.concatenate(parts)) for name, parts in self._numbers.items()}
        metadata.write(self._aside, self._features, self._fps, self._tasks, self._rows, statistics)
        shutil.rmtree(self.scratch, ignore_errors=True)
        self._aside.rename(self._out)

    def _of(self, *dtypes: str) -> list[str]:
        return [name for name, of in self._features.items() if of["dtype"] in dtypes]
