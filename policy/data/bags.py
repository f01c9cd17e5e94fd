"""rosbag2 bags: found, read through the same streams as a live robot, and written.

Each String on the instruction topic begins an episode. Frames before the first instruction or the first
command are not used. `actions[t]` is the set-point in force at `stamps[t] + dt`.
"""

import errno
import os
import re
import shutil
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer, WriterError
from rosbags.typesys import Stores, get_typestore

from policy.data import mcap_recovery
from policy.data.mcap_recovery import Raw
from policy.errors import InputError, unknown
from policy.robot import contact
from policy.robot.contract import BOOL, COMPRESSED, IMAGE, STRING, Contract
from policy.robot.instructions import continues
from policy.robot.motors import Motors
from policy.robot.streams import Streams
from policy.spec import MODES, Episode, Frame

TYPES = get_typestore(Stores.ROS2_JAZZY)


class Channel(NamedTuple):
    """One topic of a bag that is written."""

    topic: str
    type: str
    latched: bool = False  # transient_local: who subscribes late still gets the last one


def channels(contract: Contract) -> list[Channel]:
    """All topics of a contract, as a demonstration of its robot has them."""
    latched = [t for t in (contract.instruction, contract.labels.task, contract.labels.mode) if t]
    contact = {contract.labels.contact: BOOL} if contract.labels.contact else {}
    plain = {**contract.observed, **contract.commanded, **contact}
    return [Channel(t, kind) for t, kind in plain.items()] + [Channel(t, STRING, True) for t in latched]


def find_bags(folder: Path) -> list[Path]:
    """All bags below a folder, sorted: rosbag2 directories and .mcap files; `InputError` if there is none."""
    if not folder.exists():
        raise InputError(f"no such folder: {folder}; give the folder that holds the bags")
    files = (
        [folder]
        if folder.is_file()
        else [
            p
            for p in folder.rglob("*")
            if (p.suffix == ".mcap" or p.name == "metadata.yaml")
            and not any(part.startswith(".") for part in p.relative_to(folder).parts)
        ]
    )
    found = {p.parent for p in files if p.name == "metadata.yaml"}
    for path in files:
        if path.suffix != ".mcap" or path.parent in found:
            continue
        # a recorder that was killed leaves <name>/<name>_0.mcap and no metadata
        split = path.parent != folder and path.name.startswith(path.parent.name)
        found.add(path.parent if split else path)
    if not found:
        raise InputError(
            f"no bag in {folder}: expected rosbag2 directories (with metadata.yaml) or .mcap "
            "files; record some with `python -m sim.record` or `ros2 bag record -s mcap`"
        )
    return sorted(found)


def read_episodes(bag: Path, contract: Contract, lost: Counter[str] | None = None) -> list[Episode]:
    """The episodes of one bag; `lost` counts by reason what could not be used.

    `InputError` if a topic of the contract is missing or has another type, or if nothing fits.
    """
    lost = Counter() if lost is None else lost
    reader = _BagReader(contract)
    cut = _cut_off(bag)
    for raw in _messages(bag, reader.wanted, cut, lost):
        reader.take(raw)
    reader.finish()
    lost.update(reader.streams.lost)
    if cut:
        return reader.episodes(lost)
    reader.check(bag)
    episodes = reader.episodes(lost)
    if not episodes:
        raise InputError(
            f"{bag} holds nothing that fits the contract: {summary(lost) or 'no frame'}; "
            "correct the contract or take the bag away"
        )
    return episodes


def messages(bag: Path, wanted: dict[str, str], lost: Counter[str]) -> Iterator[Raw]:
    """The messages of some topics (without leading slash -> type) in the order of their reception.

    `InputError` if one has another type or the bag cannot be read; what is whole in a cut bag is given.
    """
    return _messages(bag, wanted, _cut_off(bag), lost)


def summary(lost: Counter[str]) -> str:
    """Counts by reason as one line, the largest first."""
    return "; ".join(f"{n} x {reason}" for reason, n in lost.most_common(6))


class Recorded(NamedTuple):
    """A frame of a bag and what goes with it."""

    run: int  # of the clock
    frame: Frame
    action: np.ndarray  # (A,)
    motion: np.ndarray  # (J, 3), see policy.robot.motors


class _BagReader:
    """Plays a bag's messages into streams and gathers what an episode is made of."""

    def __init__(self, contract: Contract) -> None:
        self.contract, self.streams, self.dt = contract, Streams(contract), contract.spec.dt_ns
        self.motors = Motors(contract)
        needed = {**contract.observed, **contract.commanded, contract.instruction: STRING}
        self.needed = {t.lstrip("/"): kind for t, kind in needed.items()}
        labels = {contract.labels.task: STRING, contract.labels.mode: STRING, contract.labels.contact: BOOL}
        self.wanted = self.needed | {t.lstrip("/"): kind for t, kind in labels.items() if t}
        self.seen: set[str] = set()  # topics that had a message
        self.others: set[str] = set()
        self.text: dict[str, list[tuple[int, Any]]] = {}  # instruction and labels: topic -> (time, value)
        self.waiting: deque[tuple[Frame, np.ndarray]] = deque()  # frames whose action is still to come
        self.frames: list[Recorded] = []
        self.early = 0

    def take(self, raw: Raw) -> None:
        topic = raw.topic.lstrip("/")
        self.seen.add(topic)
        try:
            message: Any = TYPES.deserialize_cdr(raw.data, raw.type)
        except Exception as error:  # rosbags raises whatever the broken bytes lead to
            self.streams.lost[f"{topic}: a message that does not decode ({type(error).__name__})"] += 1
            return
        if self.wanted[topic] in (STRING, BOOL):
            self.text.setdefault(topic, []).append((raw.stamp, message.data))
            return
        run = self.streams.restarts
        self.streams.push(topic, message, raw.stamp)
        if self.streams.restarts != run:  # their commands went with the old clock
            self.early += len(self.waiting)
            self.waiting.clear()
            self.motors.clear()
        self.motors.push(topic, message, raw.stamp)
        self._settle(run=self.streams.restarts, all_of_them=False)

    def finish(self) -> None:
        self.streams.flush()
        self._settle(run=self.streams.restarts, all_of_them=True)

    def _settle(self, run: int, all_of_them: bool) -> None:
        while (frame := self.streams.frame()) is not None:
            self.waiting.append((frame, self.motors.at(frame.stamp)))
        while self.waiting and (all_of_them or self.streams.settled(self.waiting[0][0].stamp + self.dt)):
            frame, motion = self.waiting.popleft()
            action = self.streams.setpoint_at(frame.stamp + self.dt)
            if action is None:
                self.early += 1
            else:
                self.frames.append(Recorded(run, frame, action, motion))

    def check(self, bag: Path) -> None:
        missing = [t for t in self.needed if t not in self.seen]
        if missing:
            raise InputError(
                f"{bag} has no message on {', '.join(missing)}, which the contract asks for; "
                f"of its topics it has {', '.join(sorted(self.seen)) or 'none'}; "
                "record the topic or correct the contract"
            )

    def episodes(self, lost: Counter[str]) -> list[Episode]:
        """Frames grouped by the instruction that was in force."""
        lost["frame without a command"] += self.early
        said = self.text.get(self.contract.instruction.lstrip("/"), [])
        times = [t for t, _ in said]
        groups: dict[tuple[int, int], list[int]] = {}
        for k, one in enumerate(self.frames):
            groups.setdefault((one.run, bisect_right(times, one.frame.stamp) - 1), []).append(k)
        touched, episodes = self._contact(), []
        for (_, i), group in groups.items():
            text = _meant([words for _, words in said], i)
            if text:
                episodes.append(
                    self._episode(text, [self.frames[k] for k in group], None if touched is None else touched[group])
                )
            else:
                why = (
                    "before the first instruction"
                    if i < 0
                    else "with nothing to continue"
                    if continues(said[i][1])
                    else "with an empty instruction"
                )
                lost[f"frame {why}"] += len(group)
        for reason in [r for r, n in lost.items() if n == 0]:
            del lost[reason]
        if episodes:
            episodes[0].lost = lost.total()
        return episodes

    def _contact(self) -> np.ndarray | None:
        """Contact (N,) bool of all frames: the label, else the estimate, else None."""
        labels = self.text.get((self.contract.labels.contact or "").lstrip("/"), [])
        frames = self.frames
        if labels:
            before = np.searchsorted([t for t, _ in labels], [one.frame.stamp for one in frames], side="right")
            return np.array([False] + [bool(v) for _, v in labels])[before]
        if not frames:
            return None
        return contact.estimate(
            self.contract,
            np.stack([one.frame.state for one in frames]),
            np.stack([one.action for one in frames]),
            np.stack([one.motion for one in frames]),
        )

    def _episode(self, text: str, group: list[Recorded], touched: np.ndarray | None) -> Episode:
        frames, labels = [one.frame for one in group], self.contract.labels
        stamps = np.array([f.stamp for f in frames], np.int64)
        tasks = self.text.get((labels.task or "").lstrip("/"), [])
        at = bisect_right([t for t, _ in tasks], frames[-1].stamp) - 1
        modes = self.text.get((labels.mode or "").lstrip("/"), [])
        mode = None
        if modes:
            before = np.searchsorted([t for t, _ in modes], stamps, side="right")
            for wrong in {v for _, v in modes} - set(MODES):
                raise unknown(f"mode on {labels.mode}:", wrong, MODES)
            mode = np.array([0] + [MODES.index(v) for _, v in modes], np.uint8)[before]
        return Episode(
            instruction=text,
            stamps=stamps,
            images={name: np.stack([f.images[name] for f in frames]) for name in self.contract.cameras},
            state=np.stack([f.state for f in frames]),
            actions=np.stack([one.action for one in group]),
            contact=touched,
            mode=mode,
            task=tasks[at][1] if at >= 0 else None,
        )


def _files(bag: Path) -> list[Path]:
    """The .mcap files of a bag in the order in which they were recorded (_2 before _10)."""
    if bag.is_file():
        return [bag]
    return sorted(bag.glob("*.mcap"), key=lambda p: [int(s) if s.isdigit() else s for s in re.split(r"(\d+)", p.name)])


def _cut_off(bag: Path) -> bool:
    """Whether the recorder did not come to its end."""
    return any(not mcap_recovery.is_whole(file) for file in _files(bag))


def _messages(bag: Path, wanted: dict[str, str], cut: bool, lost: Counter[str]) -> Iterator[Raw]:
    """The messages of the wanted topics in the order of their reception."""
    if cut:
        expected, got = _promised(bag), 0
        for file in _files(bag):
            for raw in mcap_recovery.messages(file):
                got += 1
                if raw.topic.lstrip("/") in wanted:
                    _check_type(bag, raw.topic, raw.type, wanted)
                    yield raw
        lost["message in a part of the bag that is cut off"] += max(expected - got, 1)
        return
    for path in [bag] if bag.is_file() or (bag / "metadata.yaml").exists() else _files(bag):
        try:
            with Reader(path) as reader:
                chosen = [c for c in reader.connections if c.topic.lstrip("/") in wanted]
                for c in chosen:
                    _check_type(bag, c.topic, c.msgtype, wanted)
                if chosen:  # none would mean all
                    for c, stamp, data in reader.messages(chosen):
                        yield Raw(c.topic, c.msgtype, data, stamp)
        except InputError:
            raise
        except Exception as error:  # the reader raises whatever damaged bytes lead to
            raise InputError(
                f"{path} cannot be read as a rosbag2 bag ({type(error).__name__}: {error}); "
                "record it again or take it away"
            ) from error


def _promised(bag: Path) -> int:
    """How many messages the metadata says there were; 0 without metadata."""
    path = bag / "metadata.yaml"
    found = re.search(r"^  message_count: (\d+)", path.read_text(), re.M) if path.is_file() else None
    return int(found[1]) if found else 0


def _check_type(bag: Path, topic: str, kind: str, wanted: dict[str, str]) -> None:
    if kind != wanted[topic.lstrip("/")]:
        raise InputError(
            f"{bag} has {topic} as {kind}, the contract expects {wanted[topic.lstrip('/')]}; correct the contract"
        )


def open_writer(directory: Path, topics: Iterable[Channel]) -> tuple[Writer, dict[str, Connection]]:
    """Begin a rosbag2 MCAP directory: its writer, and a connection for each topic (without leading slash).

    `FileExistsError` where the directory exists, also if another process has just made it.
    """
    try:
        writer = Writer(directory, version=9, storage_plugin=StoragePlugin.MCAP)
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        writer.open()
    except WriterError:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(directory)) from None
    return writer, {
        c.topic.lstrip("/"): writer.add_connection(
            "/" + c.topic.lstrip("/"), c.type, typestore=TYPES, offered_qos_profiles=[_qos(c)]
        )
        for c in topics
    }


class EpisodeWriter:
    """Writes a rosbag2 MCAP directory aside and renames it on a clean exit; otherwise nothing is left.

    with EpisodeWriter(path, channels(contract), {"seed": "7"}) as bag:
        bag.write("joint_states", message, stamp_ns)
    """

    def __init__(self, directory: Path, topics: Iterable[Channel], custom: dict[str, str] | None = None) -> None:
        if directory.exists():
            raise InputError(f"{directory} is there already; give another name or take it away")
        self.directory = directory
        self._aside = directory.parent / ".writing" / directory.name
        self._topics = list(topics)
        self._custom = custom or {}

    def __enter__(self) -> Self:
        shutil.rmtree(self._aside, ignore_errors=True)  # of a run that was killed
        try:
            self._begin()
        except OSError as error:
            raise self._refused(error) from error
        return self

    def _begin(self) -> None:
        self._writer, self._open = open_writer(self._aside, self._topics)
        for key, value in self._custom.items():
            self._writer.set_custom_data(key, value)

    def write(self, topic: str, message: Any, stamp_ns: int) -> None:
        """Write a message of `TYPES` at its time of reception."""
        connection = self._open[topic.lstrip("/")]
        self.write_raw(topic, TYPES.serialize_cdr(message, connection.msgtype), stamp_ns)

    def write_raw(self, topic: str, cdr: bytes | memoryview, stamp_ns: int) -> None:
        """Write a message that is serialised already."""
        try:
            self._writer.write(self._open[topic.lstrip("/")], stamp_ns, cdr)
        except OSError as error:
            raise self._refused(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._writer.__exit__(kind, error, trace)
            if kind is None:
                self._aside.rename(self.directory)
        except OSError as full:
            raise self._refused(full) from full
        finally:
            shutil.rmtree(self._aside, ignore_errors=True)
            with suppress(OSError):  # another process writes beside this one
                self._aside.parent.rmdir()

    def _refused(self, error: OSError) -> InputError:
        return InputError(
            f"cannot write the bag {self.directory}: {error.strerror or error}; free space or "
            "give a folder that can be written; nothing of this bag is left"
        )


def _meant(said: list[str], i: int) -> str:
    """What instruction i asks for, "" if nothing; "continue" is what the one before the last said."""
    if i < 0 or not continues(said[i]):
        return said[i].strip() if i >= 0 else ""
    return _meant(said, i - 2)


def _qos(channel: Channel) -> Qos:
    """Sensor data best effort, latched topics transient_local, all else reliable."""
    sensor = channel.type in (IMAGE, COMPRESSED)
    never = QosTime(9223372036, 854775807)
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=1 if channel.latched else 10,
        reliability=QosReliability.BEST_EFFORT if sensor else QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL if channel.latched else QosDurability.VOLATILE,
        deadline=never,
        lifespan=never,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=never,
        avoid_ros_namespace_conventions=False,
    )
