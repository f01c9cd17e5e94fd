"""A bag whose clock was set back, between two of its files or within one: the words of each run are its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.writer import CompressionType, IndexType
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from policy.data.contents import contents
from policy.data.raw import TYPES
from policy.data.recording import Recording, read
from policy.errors import InputError
from ros_nodes.playback import Playback
from tests import small_robot as robot
from tests.small_robot import SECOND, START, Message

Write = Callable[[Path, list[Message], list[Message]], object]
CHUNK = 100_000  # bytes: some, so that the clock is set back within one


def two_files(folder: Path, first: list[Message], again: list[Message]) -> None:
    robot.record_mcap(folder / "bag_0.mcap", first)
    robot.record_mcap(folder / "bag_1.mcap", again)


def one_file(**how: Any) -> Write:
    """By the mcap library."""
    return lambda folder, first, again: robot.record_mcap(folder / "bag_0.mcap", first + again, **how)


def rosbag2(plugin: StoragePlugin, mode: CompressionMode = CompressionMode.NONE) -> Write:
    def write(folder: Path, first: list[Message], again: list[Message]) -> None:
        writer, connections = Writer(folder, version=9, storage_plugin=plugin), {}
        writer.set_compression(mode, CompressionFormat.ZSTD)
        with writer:
            for topic, message, ns in first + again:
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, message.__msgtype__, typestore=TYPES)
                writer.write(connections[topic], ns, TYPES.serialize_cdr(message, message.__msgtype__))

    return write


WAYS: dict[str, Write] = {
    "two files": two_files,
    "mcap": one_file(chunk_size=CHUNK),
    "mcap, one chunk": one_file(chunk_size=1 << 30),
    "mcap, zstd": one_file(chunk_size=CHUNK, compression=CompressionType.ZSTD),
    "mcap, without index": one_file(chunk_size=CHUNK, index_types=IndexType.NONE),
    "mcap, without chunks": one_file(use_chunking=False),
    "rosbag2, mcap": rosbag2(StoragePlugin.MCAP),
    "rosbag2, mcap, compressed": rosbag2(StoragePlugin.MCAP, CompressionMode.STORAGE),
    "rosbag2, sqlite3": rosbag2(StoragePlugin.SQLITE3),
    "rosbag2, sqlite3, compressed messages": rosbag2(StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    "rosbag2, sqlite3, compressed file": rosbag2(StoragePlugin.SQLITE3, CompressionMode.FILE),
}
every_way = pytest.mark.parametrize("write", WAYS.values(), ids=WAYS)


def recorded(folder: Path, second: str | None, write: Write) -> Recording:
    """10 s of two instructions, and 8 s after the clock was set back by 10 s; the words of these, None for none."""
    first = robot.moving(8, start=START + 2 * SECOND, text="task A")
    first.append(("/instruction", robot.string("task B"), START + 6 * SECOND))
    again = robot.moving(8, start=START, text=second or "")
    write(folder / "bag", sorted(first, key=lambda item: item[2]), again)
    return read(folder / "bag", robot.contract(), lambda most: lambda pictures: None)


def told(recording: Recording) -> list[list[tuple[str, float, float]]]:
    """Of each run its instructions, with the first and the last of their frames in s of the clock."""
    return [
        [
            (part.instruction, *(round((int(run.stamps[i]) - START) / SECOND, 1) for i in (part.first, part.end - 1)))
            for part in run.parts
        ]
        for run in recording.runs
    ]


@every_way
def test_each_run_has_its_own_instructions(tmp_path: Path, write: Write) -> None:
    recording = recorded(tmp_path, "task C", write)
    before, after = told(recording)
    assert [words for words, *_ in before] == ["task A", "task B"] and [words for words, *_ in after] == ["task C"]
    assert before[0][2] <= 6.0 <= before[1][1] + 0.1 and before[1][2] > 9 and after[0][1] < 0.3 and after[0][2] > 7.5
    assert [f.what for f in recording.findings] == ["the clock was set back"]
    for run, start in zip(recording.runs, (START + 2 * SECOND, START), strict=True):  # none of the other one's
        t = (run.stamps - start) / SECOND
        assert np.abs(run.state - robot.position(t)).max() < 0.01
        assert np.abs(run.actions - robot.position(np.minimum(t + 0.05, 8))).max() < 0.01


@every_way
def test_an_instruction_outlives_a_clock_that_is_set_back(tmp_path: Path, write: Write) -> None:
    """A simulation that begins anew is given its instruction by a latched topic, once."""
    before, after = told(recorded(tmp_path, None, write))
    assert [words for words, *_ in before] == ["task A", "task B"]
    assert [words for words, *_ in after] == ["task B"] and after[0][2] > 7.5


@every_way
def test_the_same_stamps_again(tmp_path: Path, write: Write) -> None:
    """A simulation that is reset twice: the first words of each run come before any topic's times have fallen."""
    episodes = [robot.moving(4, start=START, text=text) for text in ("task A", "task B", "task C")]
    write(tmp_path / "bag", episodes[0], episodes[1] + episodes[2])
    recording = read(tmp_path / "bag", robot.contract(), lambda most: lambda pictures: None)
    assert [[words for words, *_ in run] for run in told(recording)] == [["task A"], ["task B"], ["task C"]]
    found = contents(tmp_path / "bag", lambda size: None)
    assert round(found.seconds) == 12 and found.topics["joint_states"].count == 1200
    assert 99 < found.topics["joint_states"].hertz < 101


def test_replay_refuses_what_has_two_times(tmp_path: Path) -> None:
    WAYS["mcap"](tmp_path / "bag", robot.moving(2, start=START + SECOND), robot.moving(2, start=START))
    with pytest.raises(InputError, match=r"the clock was set back by 3\.0 s within it"):
        Playback(tmp_path / "bag", robot.contract())
