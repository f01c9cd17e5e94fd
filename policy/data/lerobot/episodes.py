"""meta/episodes and meta/tasks.parquet of a LeRobot data set: where each episode lies, and its sentences."""

import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from policy.data.lerobot.description import Description
from policy.data.lerobot.layout import TASKS
from policy.data.lerobot.tables import open_table, read_table
from policy.errors import InputError


class Clip(NamedTuple):
    """The pictures of one episode in an mp4."""

    path: Path
    begin: float  # s


class Place(NamedTuple):
    """Where an episode lies."""

    number: int
    length: int
    data: Path
    clips: Mapping[str, Clip]  # by feature


def places(described: Description) -> list[Place]:
    """All episodes, in their order; `InputError` where the files that name them are damaged."""
    folder = described.root / "meta" / "episodes"
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        raise InputError(f"{folder} holds no .parquet file, expected one that names the episodes; copy it again")
    videos = [name for name, dtype in described.pictures().items() if dtype == "video"]
    columns = ["episode_index", "length", "data/chunk_index", "data/file_index"]
    columns += [f"videos/{name}/{key}" for name in videos for key in ("chunk_index", "file_index", "from_timestamp")]
    found = []
    for file in files:
        table = read_table(file, columns)
        for i in range(len(table["episode_index"])):
            row = {name: column[i] for name, column in table.items()}
            try:
                found.append(_place(described, videos, row))
            except (TypeError, ValueError, OverflowError) as error:
                raise InputError(
                    f"{file}: row {i} does not say where an episode lies ({error}), expected whole numbers, and times "
                    "in s; copy the data set again"
                ) from None
    return sorted(found, key=lambda place: place.number)


def _place(described: Description, videos: list[str], row: Mapping[str, Any]) -> Place:
    """Where the episode of a row lies; TypeError, ValueError or OverflowError where a value is none that can be."""
    clips = {}
    for name in videos:
        chunk, number = (_whole(row, f"videos/{name}/{key}") for key in ("chunk_index", "file_index"))
        begin = float(row[f"videos/{name}/from_timestamp"])
        if not math.isfinite(begin):
            raise ValueError(f"videos/{name}/from_timestamp is {begin}")
        path = described.video_path.format(video_key=name, chunk_index=chunk, file_index=number)
        clips[name] = Clip(described.root / path, begin)
    chunk, number = _whole(row, "data/chunk_index"), _whole(row, "data/file_index")
    data = described.root / described.data_path.format(chunk_index=chunk, file_index=number)
    return Place(_whole(row, "episode_index"), _whole(row, "length"), data, clips)


def _whole(row: Mapping[str, Any], name: str) -> int:
    """A number of a row, which pandas writes as a float where the column once had a gap."""
    value = row[name]
    if not isinstance(value, int | float) or int(value) != value:
        raise ValueError(f"{name} is {value!r}")
    return int(value)


def tasks(root: Path) -> dict[int, str]:
    """task_index -> its sentence."""
    path = root / TASKS
    try:
        return _tasks(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); copy the data set again") from error


@lru_cache(16)
def _tasks(path: Path, changed: int) -> dict[int, str]:
    """Of a file that was changed at some time [ns]; the sentences are the index of the table that pandas made."""
    names = [name for name in open_table(path).schema_arrow.names if name != "task_index"]
    named = [name for name in names if name in ("task", "__index_level_0__")]
    if not named:
        raise InputError(f"{path} has the columns {', '.join(names)}, expected task and task_index; copy it again")
    table = read_table(path, ["task_index", named[0]])
    return {int(i): str(text) for i, text in zip(table["task_index"], table[named[0]], strict=True)}
