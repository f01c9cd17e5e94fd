"""meta/info.json of a LeRobot data set: its version, rate, features and where their files lie."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from policy.data.lerobot.layout import ACTION, DATA, INFO, STATE, VERSION, VIDEOS
from policy.errors import InputError

CONVERTER = "python -m lerobot.datasets.v30.convert_dataset_v21_to_v30 --repo-id ..."


@dataclass(frozen=True)
class Description:
    """What is known of a data set before its rows are read."""

    root: Path
    fps: float
    features: Mapping[str, Mapping[str, Any]]  # name -> dtype, shape, names
    data_path: str  # with {chunk_index} and {file_index}
    video_path: str  # with {video_key}, too

    def pictures(self) -> dict[str, str]:
        """Name -> dtype (image, video) of the features that are pictures."""
        return {name: of["dtype"] for name, of in self.features.items() if of["dtype"] in ("image", "video")}

    def names(self, feature: str) -> tuple[str, ...]:
        """The names of a vector's values; by their places, joint_1 first, where they are not given."""
        return self.given_names(feature) or tuple(f"joint_{i + 1}" for i in range(self._width(feature)))

    def given_names(self, feature: str) -> tuple[str, ...]:
        """The names that a vector's values are given; none where they do not tell each value from the others."""
        names = self.features[feature].get("names") or []
        if isinstance(names, dict):  # {"motors": [...]} or {"x": 0, "y": 1}
            if all(isinstance(value, list) for value in names.values()):
                groups = [(group, name) for group, of in names.items() for name in of]
                alone = len({name for _, name in groups}) == len(groups)
                names = [name if alone else f"{group}_{name}" for group, name in groups]
            else:
                names = sorted(names, key=names.__getitem__)
        given = tuple(map(str, names))
        return given if len(set(given)) == len(given) == self._width(feature) else ()

    def _width(self, feature: str) -> int:
        return math.prod(self.features[feature]["shape"])

    def shape(self, feature: str) -> tuple[int, int, int]:
        """Height, width and channels of a picture."""
        shape = tuple(self.features[feature]["shape"])
        first = (list(self.features[feature].get("names") or [""]) or [""])[0]
        channels, height, width = shape if str(first).startswith("channel") else (shape[2], *shape[:2])
        return height, width, channels


def load(root: Path) -> Description:
    """Read meta/info.json; `InputError` where it is damaged or of another version."""
    path = root / INFO
    try:
        return _load(root, path.stat().st_mtime_ns)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); copy the data set again") from error


@lru_cache(16)
def _load(root: Path, changed: int) -> Description:
    """Of a file that was changed at some time [ns]."""
    path = root / INFO
    try:
        raw = json.loads(path.read_text())
        version = raw["codebase_version"]
        if version == VERSION:
            described = Description(
                root,
                float(raw["fps"]),
                {str(name): dict(of, dtype=str(of["dtype"]), shape=list(of["shape"])) for name, of in _features(raw)},
                str(raw.get("data_path") or DATA),
                str(raw.get("video_path") or VIDEOS),
            )
            _check(described)
            return described
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is no description of a LeRobot data set ({type(error).__name__}: {error}); expected "
            "codebase_version, fps and features in it; copy the data set again"
        ) from None
    raise InputError(
        f"{path} is of codebase_version {version!r}, expected {VERSION!r}; convert an older data set with LeRobot's "
        f"own `{CONVERTER}`, and take a newer one away"
    )


def _check(described: Description) -> None:
    """What is read later: ValueError or LookupError where it cannot be."""
    if not (math.isfinite(described.fps) and described.fps > 0):
        raise ValueError(f"fps is {described.fps}, expected a finite number above 0")
    described.data_path.format(chunk_index=0, file_index=0)
    described.video_path.format(video_key="", chunk_index=0, file_index=0)
    pictures = described.pictures()
    for name in pictures.keys() | described.features.keys() & {STATE, ACTION}:
        of = described.features[name]
        wrong = not of["shape"] or not all(isinstance(n, int) and n > 0 for n in of["shape"])
        if wrong or (name in pictures and len(of["shape"]) != 3):
            expected = "height, width and channels" if name in pictures else "whole numbers above 0"
            raise ValueError(f"{name} has the shape {of['shape']}, expected {expected}")


def _features(raw: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return list(raw["features"].items())
