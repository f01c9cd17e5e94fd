"""Pictures on disk: one file a bag and camera, mapped into memory."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from policy.errors import InputError
from policy.robot.opencv import opencv

TINY = 1e-6  # less of an area is rounding
HELD_FILES = 16_384  # of a folder of bags, mapped from the beginning; the system allows 65,530 in all
OPEN_FILES = 2_048  # of the others of a camera, mapped at once


class PictureFile:
    """One file of pictures as it was when it was found: other commands may decode its bag anew or take it away."""

    def __init__(self, path: Path) -> None:
        self.path, self._found = path, _identity(path)
        self._held: np.ndarray | None = None

    @property
    def size(self) -> int:
        """In bytes."""
        return self._found[-1]

    def hold(self) -> None:
        """Map it now: what is mapped stays."""
        if self.size:
            self._held = self.bytes()

    def bytes(self) -> np.ndarray:
        """All of it, uint8 (size,), mapped; `InputError` if it is no longer the file that was found."""
        if self._held is not None:
            return self._held
        try:
            # a plain array over the map: each slice of a memmap costs as much as the copy of a small picture
            mapped = np.asarray(np.memmap(self.path, np.uint8, "r"))
            same = _identity(self.path) == self._found
        except (OSError, ValueError):  # there is none, or it is empty
            same = False
        if not same:
            raise InputError(
                f"{self.path} is not the file of pictures that was there at the beginning: another command has decoded "
                "its bag anew or taken it away; give this command again"
            )
        return mapped


def _identity(path: Path) -> tuple[int, int, int]:
    """What differs between two files that were written to one path; OSError if there is none."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


class Pictures:
    """(N, height, width, channels) of many files, indexed by the first axis like an array."""

    def __init__(
        self,
        files: Sequence[Path | PictureFile],
        rows: list[np.ndarray],
        shape: tuple[int, int, int],
        dtype: "np.dtype[Any]",
    ) -> None:
        """`rows` (n,) of each file are those that are used, in order; `shape` is that of one picture."""
        self.shape, self.dtype = (sum(len(r) for r in rows), *shape), dtype
        self._files = [file if isinstance(file, PictureFile) else PictureFile(file) for file in files]
        self._file = np.repeat(np.arange(len(files)), [len(r) for r in rows]).tolist()
        self._row = np.concatenate([*rows, np.empty(0, np.int64)]).astype(np.int64).tolist()
        self._open = lru_cache(OPEN_FILES)(self._map)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        image: np.ndarray
        if isinstance(key, int):
            image = self._open(self._file[key])[self._row[key]]
            return image
        first, *rest = key if isinstance(key, tuple) else (key,)
        chosen = np.arange(len(self))[first]
        if np.ndim(chosen) == 0:
            image = self[int(chosen)][tuple(rest)]
            return image
        images = np.empty((len(chosen), *self.shape[1:]), self.dtype)
        for to, i in zip(images, chosen.tolist(), strict=True):
            to[:] = self[i]
        return images[(slice(None), *rest)] if rest else images

    def _map(self, file: int) -> np.ndarray:
        return self._files[file].bytes().view(self.dtype).reshape(-1, *self.shape[1:])


class Resizer:
    """Averages areas, as the policy's cameras do (policy.learning): (h, w, c) -> (size, size, c) of the same dtype.

    Of depth, where 0 is unknown, it averages what is known of an area.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._weights = lru_cache(16)(self._area_weights)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        if (height, width) == (self.size, self.size):
            return image
        if image.dtype == np.uint8 and min(height, width) >= self.size:  # the same, in a fifth of the time
            cv2 = opencv("pictures that are larger than the policy reads them")
            return np.asarray(cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_AREA))
        resized = self._averaged(image.astype(np.float32))
        if image.dtype == np.uint8:
            whole: np.ndarray = np.rint(resized).astype(np.uint8)
            return whole
        known = self._averaged((image > 0).astype(np.float32))
        averaged: np.ndarray = np.where(known > TINY, resized / np.maximum(known, TINY), 0).astype(image.dtype)
        return averaged

    def _averaged(self, image: np.ndarray) -> np.ndarray:
        rows = np.tensordot(self._weights(image.shape[0]), image, 1)
        averaged: np.ndarray = np.tensordot(self._weights(image.shape[1]), rows, (1, 1)).swapaxes(0, 1)
        return averaged

    def _area_weights(self, source: int) -> np.ndarray:
        """(size, source): how much of each pixel falls into each new one."""
        edges = np.linspace(0, source, self.size + 1)
        low, high, cell = edges[:-1, None], edges[1:, None], np.arange(source)[None]
        overlap = np.clip(np.minimum(high, cell + 1) - np.maximum(low, cell), 0, None)
        weights: np.ndarray = overlap / overlap.sum(1, keepdims=True)
        return weights.astype(np.float32)


def enlarged(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """(B, h, w, c) at another size, each new pixel a copy of the nearest: a stand-in for what was resized."""
    rows, columns = (np.arange(to) * of // to for of, to in ((images.shape[1], height), (images.shape[2], width)))
    return images[:, rows[:, None], columns[None]]
