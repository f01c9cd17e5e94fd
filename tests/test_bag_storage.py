"""Every message of a readable file is read, however it was stored; what is not is counted, and named."""

import io
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mcap.writer import CompressionType, IndexType
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from policy.data import mcap_file, recording, workers
from policy.data.bag_files import find_bags, passed_over
from policy.data.cache import open_cache
from policy.data.episodes import read_episodes
from policy.data.mcap_file import MAGIC
from policy.data.raw import CUT_OFF, DAMAGED, TYPES, UNCOUNTED
from policy.data.zstd import zstd
from policy.errors import InputError
from tests import small_robot as small

CONTRACT = small.contract()
FRAMES = 80
QOS = """- history: 3
  depth: 0
  reliability: 1
  durability: 1
  deadline: {sec: 0, nsec: 0}
  lifespan: {sec: 0, nsec: 0}
  liveliness: 1
  liveliness_lease_duration: {sec: 0, nsec: 0}
  avoid_ros_namespace_conventions: false"""


@pytest.fixture(scope="module")
def items() -> list[small.Message]:
    return small.moving()


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory, items: list[small.Message]) -> Path:
    return small.record(tmp_path_factory.mktemp("bag") / "run", items)


def assert_whole(bag: Path) -> None:
    (episode,) = read_episodes(bag, CONTRACT, dropped := Counter())
    assert len(episode.stamps) == FRAMES and not dropped


def edited(bag: Path, **changed: object) -> Path:
    """Its metadata with other values."""
    path = bag / "metadata.yaml"
    raw = yaml.safe_load(path.read_text())
    raw["rosbag2_bagfile_information"] |= changed
    path.write_text(yaml.safe_dump(raw))
    return bag


@pytest.mark.parametrize(
    "how",
    [
        {"index_types": IndexType.NONE},
        {"index_types": IndexType.CHUNK, "compression": CompressionType.ZSTD},
        {"index_types": IndexType.CHUNK, "compression": CompressionType.NONE},
        {"index_types": IndexType.CHUNK, "use_statistics": False, "use_summary_offsets": False},
        {"repeat_channels": False, "repeat_schemas": False, "index_types": IndexType.NONE, "use_statistics": False},
        {"use_chunking": False},
        {"profile": ""},
        {"short": True},
        {"foreign": True},
        {"enable_crcs": False},
    ],
    ids=lambda how: "-".join(f"{k}={getattr(v, 'name', v)}" for k, v in how.items()),
)
@pytest.mark.parametrize("cut", [0, 8])
def test_a_file_of_the_mcap_library(tmp_path: Path, items: list[small.Message], how: dict, cut: int) -> None:
    """Without indexes, statistics, profile or chunks, with types in short or a channel in JSON; and without its end."""
    path = small.record_mcap(tmp_path / "x.mcap", items, **({"chunk_size": 60_000} | how))
    if not cut:
        return assert_whole(path)
    path.write_bytes(path.read_bytes()[:-cut])
    (episode,) = read_episodes(path, CONTRACT, dropped := Counter())
    assert len(episode.stamps) == FRAMES and dropped == {CUT_OFF: 1}
    return None


@pytest.mark.parametrize("chunked", [True, False])
def test_messages_that_are_not_in_the_order_of_their_times(
    tmp_path: Path, items: list[small.Message], chunked: bool
) -> None:
    late = np.argsort(np.arange(len(items)) + np.random.default_rng(0).uniform(0, 9, len(items)))
    mixed = [items[i] for i in late]
    assert_whole(small.record_mcap(tmp_path / "x.mcap", mixed, use_chunking=chunked, chunk_size=20_000))


def test_chunks_in_another_order_and_channels_named_in_a_later_one(tmp_path: Path, items: list[small.Message]) -> None:
    """The second 0.2 s first: their chunks come after, in time, and have the only channel records."""
    few = len(items) // 20
    how = {"repeat_channels": False, "index_types": IndexType.NONE, "chunk_size": 20_000}
    mixed = items[few : 2 * few] + items[:few] + items[2 * few :]
    assert_whole(small.record_mcap(tmp_path / "x.mcap", mixed, **how))


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_one_topic_after_the_other(tmp_path: Path, items: list[small.Message], plugin: StoragePlugin) -> None:
    """As tools write bags that make them of other recordings: no clock was set back."""
    assert_whole(small.record(tmp_path / "run", sorted(items, key=lambda item: item[0]), plugin))


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_a_topic_that_a_busy_recorder_writes_late(
    tmp_path: Path, items: list[small.Message], plugin: StoragePlugin
) -> None:
    late = sorted(items, key=lambda item: item[2] + small.SECOND * (item[0] == "/joint_states"))
    assert_whole(small.record(tmp_path / "run", late, plugin))


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize("topics", ["all", "/instruction"])
def test_metadata_with_another_quality_of_service(
    tmp_path: Path, items: list[small.Message], plugin: StoragePlugin, topics: str
) -> None:
    bag = small.record(tmp_path / "run", items, plugin, 8)
    raw = yaml.safe_load((bag / "metadata.yaml").read_text())
    for topic in raw["rosbag2_bagfile_information"]["topics_with_message_count"]:
        if topics in ("all", topic["topic_metadata"]["name"]):
            topic["topic_metadata"]["offered_qos_profiles"] = QOS
    (bag / "metadata.yaml").write_text(yaml.safe_dump(raw))
    assert_whole(bag)


@pytest.mark.parametrize(
    "changed", [{"storage_identifier": ""}, {"version": 99}, {"relative_file_paths": ["moved/run.mcap"]}, None]
)
def test_metadata_that_holds_little_or_was_never_written(tmp_path: Path, bag: Path, changed: dict | None) -> None:
    copy = Path(shutil.copytree(bag, tmp_path / "run"))
    if changed is None:
        (copy / "metadata.yaml").write_text("")  # after a power cut
    else:
        edited(copy, **changed)
    assert find_bags(tmp_path) == [copy]
    assert_whole(copy)


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize("mode", [CompressionMode.FILE, CompressionMode.MESSAGE])
@pytest.mark.parametrize("metadata", [True, False])
def test_compressed_files_and_messages(
    tmp_path: Path, items: list[small.Message], plugin: StoragePlugin, mode: CompressionMode, metadata: bool
) -> None:
    path = tmp_path / "run"
    writer = Writer(path, version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for topic, message, ns in items:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, message.__msgtype__, typestore=TYPES)
            writer.write(connections[topic], ns, TYPES.serialize_cdr(message, message.__msgtype__))
    if not metadata:
        (path / "metadata.yaml").unlink()
    assert find_bags(tmp_path) == [path]
    assert_whole(path)


def killed_recording(folder: Path, items: list[small.Message]) -> Path:
    """No metadata.yaml, and the newest messages in the write-ahead log."""
    source = small.record(folder / "source" / "run", items, StoragePlugin.SQLITE3)
    killed = folder / "bags" / "run"
    killed.mkdir(parents=True)
    connection = sqlite3.connect(source / "run.db3")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA wal_autocheckpoint=0")
    half = connection.execute("SELECT * FROM messages ORDER BY id DESC LIMIT 280").fetchall()
    connection.execute("DELETE FROM messages WHERE id > (SELECT max(id) - 280 FROM messages)")
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.executemany("INSERT INTO messages VALUES (?, ?, ?, ?)", half)
    connection.commit()
    for file in source.glob("run.db3*"):  # as they lie while the recorder runs
        shutil.copy(file, killed / file.name)
    connection.close()
    assert (killed / "run.db3-wal").stat().st_size > 0
    return killed


def test_a_database_whose_recorder_was_killed(tmp_path: Path, items: list[small.Message]) -> None:
    killed = killed_recording(tmp_path, items)
    assert find_bags(tmp_path / "bags") == [killed]
    assert_whole(killed)


def test_what_is_read_of_a_killed_recorder_s_database_is_kept_until_its_log_changes(
    tmp_path: Path, items: list[small.Message]
) -> None:
    """SQLite makes the index of the log anew with each look; the log may be copied beside the file later."""
    killed, base = killed_recording(tmp_path, items), tmp_path / "bags"
    whole = len(open_cache(base, small.contract(), processes=1).stamps)
    (about,) = base.rglob("bag.json")
    decoded = about.stat().st_mtime_ns
    open_cache(base, small.contract(), processes=1)
    assert about.stat().st_mtime_ns == decoded
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(killed / "run.db3", alone)
    without = len(open_cache(alone / "run.db3", small.contract(), processes=1).stamps)
    shutil.copy(killed / "run.db3-wal", alone)
    assert len(open_cache(alone / "run.db3", small.contract(), processes=1).stamps) == whole > without


@pytest.mark.parametrize("name", ["run", "run.v1", "run_7"])
def test_a_killed_split_recording_is_one_bag(
    tmp_path: Path, items: list[small.Message], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run, middle = tmp_path / name, small.START + 2 * small.SECOND
    run.mkdir()
    for i, part in enumerate(([m for m in items if m[2] < middle], [m for m in items if m[2] >= middle])):
        (file,) = small.record(tmp_path / f"part{i}", part).glob("*.mcap")
        (run / f"{name}_{i}.mcap").write_bytes(file.read_bytes()[: None if i == 0 else -2000])
    for folder in (run, tmp_path / "part0", tmp_path / "part1"):
        if folder != run:
            shutil.rmtree(folder)
    for given in (run, tmp_path):
        assert find_bags(given) == [run]
    monkeypatch.chdir(run)
    assert find_bags(Path(".")) == [Path(".")]
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "other").symlink_to(run)
    assert find_bags(tmp_path / "linked") == [tmp_path / "linked" / "other"]
    (episode,) = read_episodes(run, CONTRACT, dropped := Counter())
    assert len(episode.stamps) == FRAMES and dropped == {CUT_OFF: 1}


def test_links_are_followed_and_no_bag_is_found_twice(tmp_path: Path, bag: Path) -> None:
    (tmp_path / "bags" / "below").mkdir(parents=True)
    shutil.copytree(bag, tmp_path / "bags" / "a")
    (tmp_path / "bags" / "linked").symlink_to(bag)
    (tmp_path / "bags" / "below" / "up").symlink_to(tmp_path / "bags")
    assert find_bags(tmp_path / "bags") == [tmp_path / "bags" / "a", tmp_path / "bags" / "linked"]


def test_what_is_passed_over_is_named_with_what_to_do(tmp_path: Path, bag: Path) -> None:
    shutil.copytree(bag, tmp_path / "a")
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0\n")
    (tmp_path / "x.mcap.lz4").write_bytes(b"?")
    (tmp_path / "gone.mcap").symlink_to(tmp_path / "nothing")
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "metadata.yaml").write_text("version: 1")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "empty_0.mcap.zstd").write_bytes(b"(compressed)")
    printed = "\n".join(map(str, passed_over(tmp_path)))
    assert "moved: metadata.yaml and no .mcap or .db3 file; put its files back" in printed
    for words in (
        "old.bag: a ROS 1 bag; convert it with rosbags-convert",
        "x.mcap.lz4; decompress it",
        "gone.mcap: a link",
    ):
        assert words in printed
    with pytest.raises(InputError, match=r"empty_0.mcap.zstd is not zstd"):
        open_cache(tmp_path, CONTRACT)


@pytest.mark.parametrize("name", ["notes.txt", "old.bag"])
def test_a_file_that_is_no_bag(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("?")
    with pytest.raises(InputError, match=r"is no bag: expected rosbag2 directories, or \.mcap or \.db3 files"):
        find_bags(tmp_path / name)


@pytest.mark.parametrize("data", [b"\x01random bytes", b"", b"\0" * 64, MAGIC[:5], MAGIC, MAGIC + b"\x01" * 40])
def test_a_bag_of_which_nothing_is_whole_is_refused(tmp_path: Path, bag: Path, data: bytes) -> None:
    """Where another file of the recording is whole, only what has another format is."""
    (tmp_path / "x.mcap").write_bytes(data)
    other = data.startswith(b"\x01")
    with pytest.raises(InputError, match="x.mcap is no MCAP: it begins with" if other else "nothing of it that the co"):
        read_episodes(tmp_path / "x.mcap", CONTRACT)
    copy = Path(shutil.copytree(bag, tmp_path / "run"))
    (copy / "run_9.mcap").write_bytes(data)
    if not other:
        assert len(read_episodes(copy, CONTRACT)) == 1


def test_a_zstd_file_that_is_cut_off(tmp_path: Path, bag: Path) -> None:
    (file,) = bag.glob("*.mcap")
    packed = zstd.compress(file.read_bytes())
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run_0.mcap.zstd").write_bytes(packed[: len(packed) // 2])
    (episode,) = read_episodes(tmp_path / "run", CONTRACT, dropped := Counter())
    assert 5 < len(episode.stamps) < FRAMES and dropped[CUT_OFF] >= 1


def test_a_damaged_chunk_is_not_believed_and_the_others_are_read(tmp_path: Path, items: list[small.Message]) -> None:
    """Not compressed, so that only the checksum shows it; the chunks after it are read."""
    path = small.record_mcap(tmp_path / "x.mcap", items, chunk_size=60_000, compression=CompressionType.NONE)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    path.write_bytes(data)
    (episode,) = read_episodes(path, CONTRACT, dropped := Counter())
    assert FRAMES / 2 < len(episode.stamps) < FRAMES and dropped[DAMAGED] > 1
    assert dropped[DAMAGED] < len(items) / 4


def _chunks(data: bytes) -> Iterator[int]:
    """Where the chunks of a file begin."""
    at = 8
    while at < len(data) - 8:
        if data[at] == 6:
            yield at
        at += 9 + int.from_bytes(data[at + 1 : at + 9], "little")


def test_records_behind_a_damaged_length_are_found_by_the_summary(tmp_path: Path, items: list[small.Message]) -> None:
    path = small.record_mcap(tmp_path / "x.mcap", items, chunk_size=60_000)
    data = bytearray(path.read_bytes())
    at = next(at for i, at in enumerate(_chunks(data)) if i == 1)
    data[at + 1 : at + 9] = (1 << 40).to_bytes(8, "little")
    path.write_bytes(data)
    (episode,) = read_episodes(path, CONTRACT, dropped := Counter())
    assert len(episode.stamps) >= FRAMES - 1 and dropped.total() <= 10


@pytest.mark.parametrize("length", [1 << 62, 1 << 63, (1 << 64) - 1])
def test_a_damaged_length_beyond_any_file_costs_its_chunk_at_most(
    tmp_path: Path, items: list[small.Message], length: int
) -> None:
    path = small.record_mcap(tmp_path / "x.mcap", items, chunk_size=60_000)
    data = bytearray(path.read_bytes())
    at = next(at for i, at in enumerate(_chunks(data)) if i == 1)
    data[at + 1 : at + 9] = length.to_bytes(8, "little")
    path.write_bytes(data)
    (episode,) = read_episodes(path, CONTRACT, dropped := Counter())
    assert len(episode.stamps) >= FRAMES - 1 and dropped.total() <= 10


def test_zeros_behind_a_file_that_was_cut_off_are_not_walked_through(
    tmp_path: Path, items: list[small.Message]
) -> None:
    """A power cut leaves them, up to the size that the recorder had asked for."""

    class Counting(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.reads += 1
            return super().read(size)

    path = small.record_mcap(tmp_path / "x.mcap", items, chunk_size=60_000)
    data = path.read_bytes()
    data = data[: len(data) // 2]
    without, with_zeros = Counting(data), Counting(data + bytes(1_000_000))
    for file in (without, with_zeros):
        assert mcap_file._Reader(file).cut
    assert with_zeros.reads <= without.reads + 2
    counts = []
    for zeros in (0, 1_000_000):
        path.write_bytes(data + bytes(zeros))
        (episode,) = read_episodes(path, CONTRACT, dropped := Counter())
        counts.append((len(episode.stamps), dropped[CUT_OFF]))
    assert counts[0] == counts[1] and counts[0][0] > 5


def test_an_end_without_a_footer_is_a_file_that_was_cut_off(tmp_path: Path) -> None:
    (tmp_path / "x.mcap").write_bytes(MAGIC + MAGIC)
    with pytest.raises(InputError, match="nothing of it that the co"):
        read_episodes(tmp_path / "x.mcap", CONTRACT)


@pytest.mark.parametrize("how", [{"chunk_size": 60_000}, {"use_chunking": False}], ids=["chunks", "messages"])
@pytest.mark.parametrize("time", [1 << 63, (1 << 64) - 1])
def test_a_time_beyond_all_is_counted_as_damaged(
    tmp_path: Path, items: list[small.Message], how: dict, time: int
) -> None:
    """One bit is enough, and some writers put the largest number where they know no time."""
    n = next(i for i, item in enumerate(items) if i > len(items) / 2 and item[0] == "/joint_states")
    wrong = [*items[:n], (*items[n][:2], time), *items[n + 1 :]]
    path = small.record_mcap(tmp_path / "x.mcap", wrong, **how)
    (episode,) = read_episodes(path, CONTRACT, dropped := Counter())
    assert len(episode.stamps) >= FRAMES - 1 and dropped[DAMAGED] == 1


@pytest.mark.parametrize("column, value", [("timestamp", "soon"), ("timestamp", 1e30), ("data", "text")])
def test_a_value_of_another_type_in_a_database_is_counted_as_damaged(
    tmp_path: Path, items: list[small.Message], column: str, value: object
) -> None:
    bag = small.record(tmp_path / "run", items, StoragePlugin.SQLITE3)
    (file,) = bag.glob("*.db3")
    connection = sqlite3.connect(file)
    connection.execute(f"UPDATE messages SET {column} = ? WHERE rowid = ?", (value, len(items) // 2))
    connection.commit()
    connection.close()
    (episode,) = read_episodes(bag, CONTRACT, dropped := Counter())
    assert len(episode.stamps) >= FRAMES - 1 and dropped[DAMAGED] == 1


def test_what_nobody_thought_of_in_one_bag_does_not_end_the_others(
    tmp_path: Path, items: list[small.Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    small.record(tmp_path / "a", items)
    small.record(tmp_path / "b", items)
    read = recording.read

    def raising(bag: Path, *more: Any) -> Any:
        return read(bag, *more) if bag.name == "a" else {}["b"]

    monkeypatch.setattr(recording, "read", raising)
    monkeypatch.setattr(workers, "pool", lambda processes, preload: ThreadPoolExecutor(processes))
    monkeypatch.setattr(workers, "end", lambda pool: None)
    with pytest.raises(InputError, match=r"b cannot be read \(KeyError: 'b'\).*report this"):
        open_cache(tmp_path, CONTRACT)
    assert set(open_cache(tmp_path, CONTRACT, skip_bad=True).bags) == {"a"}


def test_bytes_that_were_added_to_a_file_do_not_end_it_in_silence(tmp_path: Path, items: list[small.Message]) -> None:
    """They move all that follows, and the place of the summary with it."""
    path = small.record_mcap(tmp_path / "x.mcap", items, chunk_size=60_000)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + b"?" * 77 + data[len(data) // 2 :])
    (episode,) = read_episodes(path, CONTRACT, dropped := Counter())
    assert 0 < len(episode.stamps) < FRAMES and dropped[DAMAGED] >= 1


def test_counts_are_held_against_the_file_s_and_the_metadata_s(tmp_path: Path, bag: Path) -> None:
    copy = Path(shutil.copytree(bag, tmp_path / "bags" / "run"))
    (file,) = copy.glob("*.mcap")
    data = bytearray(file.read_bytes())
    summary = int.from_bytes(data[-28:-20], "little")
    at = summary
    while data[at] != 11:  # the statistics record
        at += 9 + int.from_bytes(data[at + 1 : at + 9], "little")
    count = int.from_bytes(data[at + 9 : at + 17], "little")
    data[at + 9 : at + 17] = (count + 7).to_bytes(8, "little")
    file.write_bytes(data)
    read_episodes(copy, CONTRACT, dropped := Counter())
    assert dropped == {UNCOUNTED: 7}
    edited(copy, message_count=count + 20)
    read_episodes(copy, CONTRACT, dropped := Counter())
    assert dropped == {UNCOUNTED: 20}
    (finding,) = open_cache(tmp_path / "bags", CONTRACT).findings
    assert finding.severity == "warning" and "run: 20 x" in finding.figures and "80 frames" in finding.figures


def test_a_recording_that_was_cut_off_is_not_taken_for_carried_out(tmp_path: Path, items: list[small.Message]) -> None:
    path = small.record_mcap(tmp_path / "x.mcap", items)
    assert open_cache(path, CONTRACT).incomplete.tolist() == [False]
    path.write_bytes(path.read_bytes()[:-8])
    assert open_cache(path, CONTRACT).incomplete.tolist() == [True]


def test_a_topic_in_another_encoding_is_named(tmp_path: Path) -> None:
    path = small.record_mcap(tmp_path / "x.mcap", small.moving(1.0), encoding="ros1")
    with pytest.raises(InputError, match=r"in the encoding ros1, expected cdr.*rosbags-convert"):
        read_episodes(path, CONTRACT)
