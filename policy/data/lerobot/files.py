"""The growing files of a data set: one after the other, each up to a size, an episode never divided."""

from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from policy.data.lerobot.packages import package

CHUNK = 1000  # files in a folder
DATA_MB, VIDEO_MB = 100, 200
PIXELS = "yuv444p"  # half as many colours (yuv420p) cost 5 dB and more where small pictures have coloured edges
QUALITY = {"crf": "12", "g": "2", "bf": "0", "preset": "medium"}  # g: key frames, for access to any frame


class Numbered:
    """Which file is written: chunk_index and file_index."""

    def __init__(self) -> None:
        self._number = 0

    @property
    def at(self) -> dict[str, int]:
        """As the format names them."""
        return {"chunk_index": self._number // CHUNK, "file_index": self._number % CHUNK}

    def next(self) -> None:
        """The file after this one."""
        self._number += 1


class TableFiles:
    """data/chunk-000/file-000.parquet and so on."""

    def __init__(self, root: Path, pattern: str, schema: Any) -> None:
        self._root, self._pattern, self._schema = root, pattern, schema
        self._numbered = Numbered()
        self._writer: Any = None
        self._file: BinaryIO | None = None

    def begin(self) -> dict[str, int]:
        """Where the next episode goes."""
        if self._file is not None and self._file.tell() >= DATA_MB * 2**20:
            self.close()
            self._numbered.next()
        if self._file is None:
            path = self._root / self._pattern.format(**self._numbered.at)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb")
            self._writer = package("pyarrow.parquet").ParquetWriter(self._file, self._schema, compression="snappy")
        return self._numbered.at

    def write(self, columns: dict[str, Any]) -> None:
        """Rows of the episode that was begun, as one row group."""
        self._writer.write_table(package("pyarrow").table(columns, schema=self._schema))

    def close(self) -> None:
        """The file is whole."""
        if self._file is not None:
            self._writer.close()
            self._file.close()
            self._file = self._writer = None


class VideoFiles:
    """videos/<feature>/chunk-000/file-000.mp4 and so on."""

    def __init__(self, root: Path, pattern: str, feature: str, fps: int) -> None:
        self._root, self._pattern, self._feature, self._fps = root, pattern, feature, fps
        self._numbered = Numbered()
        self._container: Any = None
        self._stream: Any = None
        self._frames = 0  # in this file

    def begin(self) -> tuple[dict[str, int], float]:
        """Where the next episode goes, and when it begins there [s]."""
        if self._container is not None and self._path.stat().st_size >= VIDEO_MB * 2**20:
            self.close()
            self._numbered.next()
        return self._numbered.at, self._frames / self._fps

    def add(self, image: np.ndarray) -> None:
        """A frame uint8 (height, width, 3) of the episode that was begun."""
        av = package("av")
        if self._container is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(str(self._path), "w")
            self._stream = self._container.add_stream("libx264", rate=self._fps, options=QUALITY)
            self._stream.height, self._stream.width = image.shape[:2]
            self._stream.pix_fmt = PIXELS
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts, frame.time_base = self._frames, Fraction(1, self._fps)
        self._container.mux(self._stream.encode(frame))
        self._frames += 1

    def close(self) -> None:
        """The file is whole."""
        if self._container is not None:
            self._container.mux(self._stream.encode())
            self._container.close()
            self._container, self._frames = None, 0

    @property
    def _path(self) -> Path:
        return self._root / self._pattern.format(video_key=self._feature, **self._numbered.at)
