# ruff: noqa: F811  fixtures are imported
"""LeRobot data sets that are interrupted, damaged or not for us: refused in a sentence, and nothing half is left."""

import os
import resource
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="install the extra `lerobot`")
pytest.importorskip("av", reason="install the extra `lerobot`")

from policy import convert
from policy.data.cache import open_cache
from policy.data.lerobot import pictures
from policy.data.lerobot.episodes import Clip
from policy.errors import InputError
from policy.robot.contract import Contract
from tests import small_robot
from tests.demo_bag import CONTRACT
from tests.lerobot_sets import DATA, EPISODES, bags, column, data, described, edited, made, written  # noqa: F401  fixtures

ROOT = Path(__file__).parent.parent


# -- whole or not at all


def test_what_is_interrupted_leaves_nothing(bags: Path, tmp_path: Path, monkeypatch) -> None:
    from policy.data.lerobot import writer

    calls = iter(range(100))
    monkeypatch.setattr(
        writer, "encoded", lambda image: b"png" if next(calls) < 20 else (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        convert.convert(bags, tmp_path / "set", CONTRACT)
    assert list(tmp_path.iterdir()) == []


def test_what_is_killed_is_not_there_and_the_same_command_writes_it(bags: Path, tmp_path: Path) -> None:
    code = (
        "import os, signal\nfrom pathlib import Path\nfrom policy import convert\n"
        "from policy.robot.contract import load\n"
        "from policy.data.lerobot import writer\n"
        "writer.DataSetWriter._finish = lambda self: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"convert.convert(Path({str(bags)!r}), Path({str(tmp_path / 'set')!r}), load('tabletop'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "set").exists() and (tmp_path / ".set.part").exists()
    written(bags, tmp_path / "set", CONTRACT)
    assert [p.name for p in tmp_path.iterdir()] == ["set"]
    with pytest.raises(InputError, match="is there already"):
        convert.convert(bags, tmp_path / "set", CONTRACT)


def test_a_disk_that_fills_is_one_sentence_and_leaves_nothing(bags: Path, tmp_path: Path) -> None:
    """While a recording is decoded, before anything of the data set is written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(InputError, match=r"cannot write the data set .*free space"):
            convert.convert(bags, tmp_path / "set", CONTRACT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_bag_that_would_be_learned_wrongly_is_not_converted(tmp_path: Path) -> None:
    small_robot.record(tmp_path / "bags" / "a", small_robot.moving(4))
    degrees = small_robot.contract(state=[{"topic": "joint_states", "joints": list(small_robot.JOINTS), "scale": 57.3}])
    with pytest.raises(InputError, match="a would be learned wrongly"):
        convert.convert(tmp_path / "bags", tmp_path / "set", degrees)
    slow = small_robot.contract(rate=50, horizon=20)
    with pytest.raises(InputError, match=r"a has a frame every 0.05 s, .* 50 Hz.*`rate: 20`"):
        convert.convert(tmp_path / "bags", tmp_path / "set", slow)
    assert [p.name for p in tmp_path.iterdir()] == ["bags"]


# -- bad input: what arrived, what was expected, what to do


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def without(name: str) -> Callable[[Path], object]:
    return lambda data: edited(data, lambda table: table.drop_columns([name]))


def replaced(
    data: Path, name: str, change: Callable[[list[Any]], list[Any]], file: str = DATA, kind: str | None = None
) -> Path:
    """The data set with a column of other values, in lists of any length, of its own type or another."""
    import pyarrow as pa

    def with_column(table: Any) -> Any:
        at, column = table.column_names.index(name), table.column(name)
        own = pa.list_(column.type.value_type) if hasattr(column.type, "value_type") else column.type
        return table.set_column(at, name, pa.array(change(column.to_pylist()), kind or own))

    return edited(data, with_column, file)


def unnamed(info: dict) -> None:
    info["features"]["observation.state"]["names"] = None


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated rows": (lambda d: cut(d / DATA), r"file-000.parquet is no whole parquet file .*copy it again"),
    "truncated episodes": (lambda d: cut(d / EPISODES), r"is no whole parquet file .*copy it again"),
    "truncated tasks": (lambda d: cut(d / "meta" / "tasks.parquet"), r"tasks.parquet is no whole parquet file"),
    "no rows": (lambda d: (d / DATA).unlink(), r"file-000.parquet is not there, .*copy the data set again"),
    "fewer rows": (lambda d: edited(d, lambda t: t.slice(0, 30)), r"has 6 rows of episode 3, .* names 20 in a row"),
    "truncated info": (lambda d: cut(d / "meta" / "info.json"), r"info.json is no description of a LeRobot data set"),
    "no tasks": (lambda d: (d / "meta" / "tasks.parquet").unlink(), r"tasks.parquet cannot be read"),
    "older version": (
        lambda d: described(d, lambda i: i.update(codebase_version="v2.1")),
        r"codebase_version 'v2.1', expected 'v3.0'; convert .*convert_dataset_v21_to_v30",
    ),
    "newer version": (
        lambda d: described(d, lambda i: i.update(codebase_version="v4.0")),
        r"codebase_version 'v4.0', expected 'v3.0'",
    ),
    "another rate": (
        lambda d: described(d, lambda i: i.update(fps=30)),
        r"has 30 frames a second, and the contract's rate is 20 Hz; give `rate: 30`",
    ),
    "no camera": (
        lambda d: described(d, lambda i: i["features"].pop("observation.images.wrist")),
        r"no feature observation.images.wrist for the camera wrist .* pictures are observation.images.front; name",
    ),
    "no action": (
        lambda d: described(d, lambda i: i["features"].pop("action")),
        r"no feature action; of features it has observation",
    ),
    "a column missing": (without("action"), r"has no column action; copy"),
    "other names": (
        lambda d: described(d, lambda i: i["features"]["action"]["names"].__setitem__(0, "shoulder")),
        r"action of .* has no panda_joint1: its values are shoulder, .* and the contract's are panda_joint1, .*`names`",
    ),
    "no names": (
        lambda d: described(d, unnamed),
        r"not named one by one, so they are joint_1, .*observation.state.names",
    ),
    "a flat picture": (
        lambda d: described(d, lambda i: i["features"]["observation.images.front"].update(shape=[96, 96])),
        r"info.json is no description .*front has the shape \[96, 96\], expected height, width and channels",
    ),
    "a path of an older version": (
        lambda d: described(d, lambda i: i.update(data_path="data/{episode_chunk}.parquet")),
        r"info.json is no description .*episode_chunk",
    ),
    "an empty episode": (
        lambda d: column(d, "length", lambda lengths: 0 * lengths, EPISODES),
        r"episode 0 has no frame; record it again",
    ),
    "rows of other lengths whose total fits": (
        lambda d: replaced(d, "action", lambda rows: [rows[0] + rows[1][:1], rows[1][1:], *rows[2:]]),
        r"action of episode 0: rows of \d+ to \d+ values; expected numbers, or lists of one length",
    ),
    "no rate": (
        lambda d: described(d, lambda i: i.update(fps=0)),
        r"info.json is no description .*fps is 0.0, expected a finite number above 0",
    ),
    "a rate that is no number": (
        lambda d: described(d, lambda i: i.update(fps=float("nan"))),
        r"info.json is no description .*fps is nan",
    ),
    "an episode without a length": (
        lambda d: replaced(d, "length", lambda rows: [None, *rows[1:]], EPISODES),
        r"file-000.parquet: row 0 does not say where an episode lies \(length is None\), expected whole numbers",
    ),
    "an episode that is half a number": (
        lambda d: replaced(d, "episode_index", lambda rows: [0.5, *map(float, rows[1:])], EPISODES, "float64"),
        r"row 0 does not say where an episode lies \(episode_index is 0.5\)",
    ),
    "an episode in a file without a number": (
        lambda d: replaced(
            d, "data/file_index", lambda rows: [*map(float, rows[1:]), float("inf")], EPISODES, "float64"
        ),
        r"row 3 does not say where an episode lies \(cannot convert float infinity",
    ),
    "another size": (
        lambda d: described(d, lambda i: i["features"]["observation.images.front"].update(shape=[48, 64, 3])),
        r"pictures of 64x48 with 3 channels, and the camera front of the contract 96x96",
    ),
    "a task that is not named": (
        lambda d: edited(d, lambda t: t.slice(0, 1), "meta/tasks.parquet"),
        r"task_index 1 of episode 1 is not in meta/tasks.parquet, which names 1 tasks",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_data_sets_are_refused(what: str, data: Path) -> None:
    damage, expected = BAD[what]
    damage(data)
    with pytest.raises(InputError, match=expected):
        open_cache(data, CONTRACT)


def test_timestamps_that_are_not_of_the_rate_are_refused(data: Path) -> None:
    with pytest.raises(InputError, match=r"has the timestamp 0.100 s, expected 0.050 s at 20 frames a second"):
        open_cache(column(data, "timestamp", lambda times: times * 2), CONTRACT)


def test_a_bad_episode_is_left_out_by_name(data: Path) -> None:
    edited(data, lambda t: t.slice(0, 30))
    cache = open_cache(data, CONTRACT, skip_bad=True)
    assert cache.bags == [f"episode_{i:06d}" for i in range(3)]
    assert any("episode_000003" in finding.figures for finding in cache.findings)


def test_a_missing_package_is_one_sentence(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pyarrow, which is not here; install it with `pip install pyarrow av`"):
        open_cache(data, CONTRACT)


def test_indices_that_pandas_made_floats_are_read(data: Path) -> None:
    for name in ("episode_index", "length", "data/chunk_index", "data/file_index"):
        replaced(data, name, lambda rows: [float(row) for row in rows], EPISODES, "float64")
    assert len(set(open_cache(data, CONTRACT).bags)) == 4


def test_a_picture_whose_header_is_beyond_all_is_refused() -> None:
    """OpenCV raises where it does not only fail."""
    import cv2

    png = bytearray(cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes())
    png[16:24] = struct.pack(">II", 40_000, 40_000)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    with pytest.raises(InputError, match=r"front: \d+ bytes that do not decode, expected a PNG or JPEG"):
        pictures._decoded(cv2, {"bytes": bytes(png)}, "front")


@pytest.mark.parametrize("begin", [float("nan"), float("inf"), 1e30])
def test_an_episode_that_begins_beyond_its_video_is_refused(tmp_path: Path, begin: float) -> None:
    import av

    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width = stream.height = 64
        for frame in (av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24"), None):
            container.mux(stream.encode(frame))
    with pytest.raises(InputError, match=r"v.mp4 cannot be decoded .*copy the data set again"):
        list(pictures.video_frames(Clip(path, begin), 1, 10.0))


def test_depth_is_refused(data: Path) -> None:
    depth = replace(CONTRACT.cameras["front"], encoding="16UC1")
    contract: Contract = replace(CONTRACT, cameras={"front": depth})
    with pytest.raises(InputError, match="front of the contract gives depth"):
        open_cache(data, contract)
    with pytest.raises(InputError, match="front gives depth"):
        convert.convert(data, data.parent / "depth", contract)
