"""The folder meta/ of a data set that is written."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from policy.data.lerobot import layout
from policy.data.lerobot.files import CHUNK, DATA_MB, VIDEO_MB
from policy.data.lerobot.packages import package
from policy.data.lerobot.statistics import Statistics

Features = Mapping[str, Mapping[str, Any]]


def write(
    root: Path,
    features: Features,
    fps: int,
    tasks: Mapping[str, int],
    episodes: Sequence[Mapping[str, Any]],
    statistics: Mapping[str, Statistics],
) -> None:
    """All of it; `tasks`: sentence -> task_index, `episodes`: a row each."""
    arrow, parquet = package("pyarrow"), package("pyarrow.parquet")
    path = root / layout.EPISODES.format(chunk_index=0, file_index=0)
    path.parent.mkdir(parents=True)
    parquet.write_table(arrow.Table.from_pylist(list(episodes)), path, compression="snappy")
    _write_tasks(root / layout.TASKS, tasks)
    ordered = {name: statistics[name] for name in features if name in statistics}
    (root / layout.STATS).write_text(json.dumps(ordered, indent=1) + "\n")
    info = _info(features, fps, tasks, episodes)
    (root / layout.INFO).write_text(json.dumps(info, indent=1, ensure_ascii=False) + "\n")


def _write_tasks(path: Path, tasks: Mapping[str, int]) -> None:
    """A table whose index, for pandas, is the column task."""
    arrow, parquet = package("pyarrow"), package("pyarrow.parquet")
    table = arrow.table({"task_index": list(tasks.values()), "task": list(tasks)})
    columns = [
        {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": of, "metadata": None}
        for name, kind, of in (("task_index", "int64", "int64"), ("task", "unicode", "object"))
    ]
    index = {"index_columns": ["task"], "column_indexes": [], "columns": columns, "pandas_version": "2.0.0"}
    parquet.write_table(table.replace_schema_metadata({"pandas": json.dumps(index)}), path)


def _info(
    features: Features, fps: int, tasks: Mapping[str, int], episodes: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    videos = any(of["dtype"] == "video" for of in features.values())
    return {
        "codebase_version": layout.VERSION,
        "robot_type": None,
        "total_episodes": len(episodes),
        "total_frames": sum(row["length"] for row in episodes),
        "total_tasks": len(tasks),
        "chunks_size": CHUNK,
        "data_files_size_in_mb": DATA_MB,
        "video_files_size_in_mb": VIDEO_MB,
        "fps": fps,
        "splits": {"train": f"0:{len(episodes)}"},
        "data_path": layout.DATA,
        "video_path": layout.VIDEOS if videos else None,
        "features": features,
    }
