"""rosbag2 MCAP directories are written aside and are there at once, whole, or not at all."""

import errno
import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError

from policy.data import aside
from policy.data.definitions import store
from policy.errors import InputError
from policy.robot.contract import LABEL_TYPES, Contract
from policy.robot.message_types import COMPRESSED, IMAGE, STRING


class BagExists(InputError):
    """A bag of this name is there already, perhaps by another command that was first."""


class Channel(NamedTuple):
    """One topic of a bag that is written."""

    topic: str
    type: str
    latched: bool = False  # transient_local: who subscribes late still gets the last one


def channels(contract: Contract) -> list[Channel]:
    """All topics of a contract, as a demonstration of its robot has them."""
    labels = {topic: kind for label, kind in LABEL_TYPES.items() if (topic := getattr(contract.labels, label))}
    topics = {**contract.observed, **contract.commanded, contract.instruction: STRING, **labels}
    return [Channel(topic, kind, latched=kind == STRING) for topic, kind in topics.items()]


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
            "/" + c.topic.lstrip("/"), c.type, typestore=store(c.type), offered_qos_profiles=[_qos(c)]
        )
        for c in topics
    }


class EpisodeWriter:
    """Writes a rosbag2 MCAP directory aside and renames it on a clean exit; otherwise nothing is left.

    `BagExists` where it is there when this begins; where another process makes it meanwhile, that one stays.

    with EpisodeWriter(path, channels(contract), {"seed": "7"}) as bag:
        bag.write("joint_states", message, stamp_ns)
    """

    def __init__(self, directory: Path, topics: Iterable[Channel], custom: dict[str, str] | None = None) -> None:
        if directory.exists():
            raise BagExists(f"{directory} is there already; give another name or take it away")
        self.directory = directory
        self._topics = list(topics)
        self._custom = custom or {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            try:
                self._begin(stack.enter_context(aside.room(self.directory.parent)))
            except OSError as error:
                raise self._refused(error) from error
            self._room = stack.pop_all()
        return self

    def _begin(self, room: Path) -> None:
        self._aside = room / self.directory.name
        self._writer, self._open = open_writer(self._aside, self._topics)
        for key, value in self._custom.items():
            self._writer.set_custom_data(key, value)

    def write(self, topic: str, message: Any, stamp_ns: int) -> None:
        """Write a message of rosbags at its time of reception."""
        connection = self._open[topic.lstrip("/")]
        self.write_raw(topic, store(connection.msgtype).serialize_cdr(message, connection.msgtype), stamp_ns)

    def write_raw(self, topic: str, cdr: bytes | memoryview, stamp_ns: int) -> None:
        """Write a message that is serialised already."""
        try:
            self._writer.write(self._open[topic.lstrip("/")], stamp_ns, cdr)
        except OSError as error:
            raise self._refused(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._room:
            try:
                self._writer.__exit__(kind, error, trace)
                if kind is None:
                    self._put_in_place()
            except OSError as full:
                raise self._refused(full) from full

    def _put_in_place(self) -> None:
        try:
            self._aside.rename(self.directory)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise

    def _refused(self, error: OSError) -> InputError:
        return InputError(
            f"cannot write the bag {self.directory}: {error.strerror or error}; free space or "
            "give a folder that can be written; nothing of this bag is left"
        )


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
