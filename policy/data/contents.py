"""What a bag holds, without a contract: each topic's messages, rate, clock, pictures, joints and words.

One pass, in memory that does not grow with the bag: of gaps and offsets a sample is kept, of values their range.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from policy.data.bags import messages
from policy.data.definitions import begins_with_header, decode
from policy.data.raw import Raw
from policy.data.storage_order import SET_BACK
from policy.data.survey import header_stamp
from policy.data.value_ranges import ValueRanges
from policy.errors import InputError
from policy.robot.compressed_images import COLOUR_TYPE, DEPTH_HEADER, JPEG, jpeg_header, png_header
from policy.robot.message_types import ARRAY, COMPRESSED, IMAGE, JOINT_STATE, STRING, TRAJECTORY

KEPT = 2000  # gaps and offsets of a topic that are kept
LOOKED_AT = 20  # pictures of a topic of which each is decoded; then one of so many
TEXTS, CHARACTERS = 200, 80  # different sentences of a topic that are kept, and what is kept of each
DEPTH = "compressedDepth"


class Sample:
    """At most `KEPT` of any number of values, each as likely as the others."""

    def __init__(self) -> None:
        self.values: list[int] = []
        self._seen, self._random = 0, Random(0)

    def add(self, *values: int) -> None:
        """More of them."""
        for value in values:
            self._add(value)

    def _add(self, value: int) -> None:
        self._seen += 1
        if len(self.values) < KEPT:
            self.values.append(value)
        elif (place := self._random.randrange(self._seen)) < KEPT:
            self.values[place] = value


@dataclass(slots=True)
class Topic:
    """One topic of a bag, or of several."""

    name: str
    type: str
    count: int = 0
    bytes: int = 0
    encoding: str = "cdr"
    first: int = 0  # ns, reception
    last: int = 0
    longest: int = 0  # ns, the longest gap, and when it began
    longest_at: int = 0
    gaps: Sample = field(default_factory=Sample)  # ns
    offsets: Sample = field(default_factory=Sample)  # ns, reception - header
    stamped: bool = False  # its type begins with a header
    headers: int = 0  # messages that have a time in it
    frames: Counter[str] = field(default_factory=Counter)  # frame_id -> messages that were decoded
    pictures: Counter[str] = field(default_factory=Counter)  # "rgb8 640x480" -> pictures that were decoded
    values: ValueRanges | None = None
    texts: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)  # why messages do not decode

    @property
    def hertz(self) -> float:
        """The median rate, 0 where there are too few messages."""
        gaps = [gap for gap in self.gaps.values if gap > 0]
        return 1e9 / float(np.median(gaps)) if len(gaps) > 1 else 0.0

    def merge(self, other: "Topic") -> None:
        """Take in the same topic of another bag."""
        self.count += other.count
        self.gaps.add(*other.gaps.values)
        self.pictures += other.pictures
        self.texts += other.texts
        self.frames += other.frames
        self.unread += other.unread
        if self.values is None:
            self.values = other.values
        elif other.values is not None:
            self.values.merge(other.values)

    @property
    def offset(self) -> float | None:
        """Median of reception - header [s], None where no header has a time."""
        return float(np.median(self.offsets.values)) * 1e-9 if self.offsets.values else None


@dataclass(slots=True)
class Contents:
    """What one bag holds."""

    bag: Path
    topics: dict[str, Topic]  # without leading slash
    missing: Counter[str]  # what it promises and does not hold: reason -> messages
    begin: int  # ns, reception
    end: int
    before: int = 0  # ns that were recorded before the clock was set back to `begin`

    @property
    def seconds(self) -> float:
        """From the first message to the last."""
        return (self.before + self.end - self.begin) * 1e-9


def contents(bag: Path, seen: Callable[[int], None]) -> Contents:
    """What a bag holds; `seen` gets the bytes of each message. `InputError` if it cannot be read."""
    topics: dict[str, Topic] = {}
    missing: Counter[str] = Counter()
    begin = end = before = 0
    for raw in messages(bag, None, missing):
        if not topics:
            begin = end = raw.stamp
        elif raw.stamp < end - SET_BACK:
            before += end - begin
            begin = end = raw.stamp
        begin, end = min(begin, raw.stamp), max(end, raw.stamp)
        name = raw.topic.lstrip("/")
        if name not in topics:
            topics[name] = Topic(name, raw.type, encoding=raw.encoding, first=raw.stamp, last=raw.stamp)
        _add(topics[name], raw)
        seen(len(raw.data))
    if not topics:
        why = "; ".join(f"{n} x {reason}" for reason, n in missing.items()) or "it has no message"
        raise InputError(f"{bag} is empty: {why}; take it away")
    return Contents(bag, topics, missing, begin, end, before)


def _add(topic: Topic, raw: Raw) -> None:
    if topic.count:
        gap = raw.stamp - topic.last
        topic.gaps.add(gap)
        if gap > topic.longest:
            topic.longest, topic.longest_at = gap, topic.last
    topic.count += 1
    topic.bytes += len(raw.data)
    topic.last = raw.stamp
    if raw.encoding not in ("cdr", ""):
        return
    try:
        topic.stamped = begins_with_header(raw.type, raw.definition)
        if topic.stamped and (stamp := header_stamp(raw.data)):
            topic.headers += 1
            topic.offsets.add(raw.stamp - stamp)
        if raw.type not in (IMAGE, COMPRESSED) or topic.count <= LOOKED_AT or topic.count % LOOKED_AT == 0:
            _look(topic, raw)
    except InputError:
        topic.unread["its type is defined neither in the bag nor here"] += 1
    except Exception as error:  # rosbags raises whatever damaged bytes lead to
        topic.unread[f"does not decode ({type(error).__name__})"] += 1


def _look(topic: Topic, raw: Raw) -> None:
    """What a message holds, of the types that a contract reads most."""
    if raw.type not in (IMAGE, COMPRESSED, JOINT_STATE, TRAJECTORY, ARRAY, STRING):
        return
    message = decode(raw)
    if raw.type == IMAGE:
        topic.pictures[f"{message.encoding} {message.width}x{message.height}"] += 1
    elif raw.type == COMPRESSED:
        topic.pictures[_compressed(message)] += 1
    elif raw.type == STRING:
        text = message.data if len(message.data) <= CHARACTERS else f"{message.data[: CHARACTERS - 1]}…"
        if text in topic.texts or len(topic.texts) < TEXTS:
            topic.texts[text] += 1
    else:
        for names, values in _values(raw.type, message):
            if topic.values is None:
                topic.values = ValueRanges()
            topic.values.add(names, values, raw.stamp)
    if hasattr(message, "header"):
        topic.frames[message.header.frame_id] += 1


def _compressed(message: Any) -> str:
    """Encoding and size of a CompressedImage, by its bytes; of 16 bits by its format."""
    data, encoding = bytes(message.data), message.format.split(";")[0].strip()
    if DEPTH in message.format:
        if "rvl" in message.format.lower():
            return f"{encoding} as RVL"
        data = data[DEPTH_HEADER.size :]
    try:
        width, height, bits = jpeg_header(data) if data[:2] == JPEG else png_header(data)
    except ValueError:
        return f"{message.format!r} of unknown bytes"
    if data[:2] == JPEG or bits == 8:
        return f"{'jpeg' if data[:2] == JPEG else 'png'} {width}x{height}"
    if not encoding and data[COLOUR_TYPE] == 0:
        encoding = "16UC1"
    return f"{encoding if encoding not in ('', 'png') else 'PNG of 16 bits'} {width}x{height}"


def _values(kind: str, message: Any) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    """Names and numbers of a message, for a trajectory of each point."""
    if kind == JOINT_STATE:  # some drivers give no names
        names = tuple(message.name) or tuple(f"position[{i}]" for i in range(len(message.position)))
        yield names, np.asarray(message.position, float)
    elif kind == ARRAY:
        yield tuple(map(str, range(len(message.data)))), np.asarray(message.data, float)
    else:
        for point in message.points:
            yield tuple(message.joint_names), np.asarray(point.positions, float)
