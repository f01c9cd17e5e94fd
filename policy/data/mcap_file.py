"""One MCAP file: all its messages in the order of their times, whether or not it has an index, an end or a profile.

    magic | header | chunk  chunk  message  chunk ... | summary, footer, magic
                     ^ found by walking from record to record, or by the summary where the walk stops

A recorder that is killed leaves no footer and, in its last chunk, half a compressed block: the messages that
the block still holds are kept too. A chunk that does not match its checksum is not believed. Where the clock was set
back, which the order in the file tells, what came before is given first.
File format: https://mcap.dev/spec
"""

import heapq
import io
import struct
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

import lz4.frame  # type: ignore[import-untyped]  # it has no stubs

from policy.data.raw import CUT_OFF, DAMAGED, LATEST, NO_DEFINITION, UNCOUNTED, Definition, Raw, full_type, unpacked
from policy.data.storage_order import Place, StorageOrder
from policy.data.zstd import zstd
from policy.errors import InputError

MAGIC = b"\x89MCAP0\r\n"
FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX, CHUNK_INDEX, STATISTICS = 2, 3, 4, 5, 6, 7, 8, 11
HEADER = 9  # bytes of a record's opcode and length
FOOTER_BYTES = HEADER + 20 + len(MAGIC)
BLOCK = 1 << 16
LARGEST = 1 << 32  # bytes of a record that is believed
END: Place = (1 << 64, 0)  # behind any message

Record = tuple[int, bytes]  # opcode, content
Waiting = tuple[int, int, list[Raw]]  # time of the next message, offset, messages; none of a chunk that is not loaded
Channel = tuple[str, str, str, Definition]  # topic, type, encoding and definition of the type


def messages(path: Path, dropped: Counter[str]) -> Iterator[Raw]:
    """All messages of a file, of any type and encoding; `dropped` counts what could not be read.

    `InputError` for a file of another format.
    """
    with path.open("rb") as file:
        begin = file.read(len(MAGIC))
        if MAGIC.startswith(begin.rstrip(b"\0")) and begin != MAGIC:  # empty, or filled with zeros by a power cut
            dropped[CUT_OFF] += 1
            return
        if begin != MAGIC:
            raise InputError(f"{path} is no MCAP: it begins with {begin!r}, expected {MAGIC!r}; take it away")
        reader, got = _Reader(file), 0
        for raw in reader.messages():
            got += 1
            yield raw
        if reader.inconsistent:
            reader.damaged += 1  # at least
        if reader.damaged:
            dropped[DAMAGED] += reader.damaged
        if reader.cut:
            dropped[CUT_OFF] += 1
        elif reader.expected > got + reader.damaged:
            dropped[UNCOUNTED] += reader.expected - got - reader.damaged


class _Reader:
    """The records of an open file."""

    def __init__(self, file: BinaryIO) -> None:
        self.cut = True  # it does not end as its format asks
        self.expected = 0  # messages, by the file's own statistics
        self.damaged = 0  # messages that are not given, because they are not what was written
        self._file = file
        self._schemas: dict[int, tuple[str, Definition]] = {}
        self._channels: dict[int, Channel] = {}
        self._searched = False  # all chunks for channels
        self._contiguous = False  # each record begins where the one before ends
        self._found: dict[int, int] = {}  # offset of a chunk or a message -> its first time
        self._end = file.seek(0, io.SEEK_END)
        self._walk()
        self._read_summary()

    @property
    def inconsistent(self) -> bool:
        """Whether bytes are missing or were added somewhere, and the number of messages is not known."""
        return not self.cut and not self._contiguous and not self.expected

    def _walk(self) -> None:
        """Find chunks and messages from record to record, without reading what they hold."""
        end = self._end
        self._file.seek(-len(MAGIC), io.SEEK_END)
        self.cut = self._file.read() != MAGIC or end < len(MAGIC) + FOOTER_BYTES
        at = len(MAGIC)
        while at + HEADER <= end:
            self._file.seek(at)
            head = self._file.read(HEADER + 22)
            opcode, size = head[0], int.from_bytes(head[1:HEADER], "little")
            if opcode == size == 0:  # no record: zeros with which a power cut fills a file, perhaps many millions
                break
            if opcode in (CHUNK, MESSAGE) and len(head) == HEADER + 22:
                first = HEADER if opcode == CHUNK else HEADER + 6
                self._found[at] = int.from_bytes(head[first : first + 8], "little")
            elif opcode in (SCHEMA, CHANNEL) and at + HEADER + size <= end:
                self._file.seek(at + HEADER)
                self._learn(opcode, self._file.read(size))
            elif opcode == FOOTER:
                self._contiguous = at + HEADER + size + len(MAGIC) == end
                break
            at += HEADER + size

    def _read_summary(self) -> None:
        """Names of topics, the number of messages, and chunks behind a damaged part of the file."""
        if self.cut:
            return
        end = self._file.seek(-FOOTER_BYTES, io.SEEK_END)
        footer = self._file.read(HEADER + 8)
        start = int.from_bytes(footer[HEADER:], "little")
        if footer[0] != FOOTER or not 0 < start <= end:
            return
        self._file.seek(start)
        for opcode, content in _records(io.BytesIO(self._file.read(end - start))):
            if opcode == STATISTICS and len(content) >= 8:
                self.expected = int.from_bytes(content[:8], "little")
            elif opcode == CHUNK_INDEX and len(content) >= 24:
                first, _, offset = struct.unpack_from("<QQQ", content)
                if offset < end:
                    self._found.setdefault(offset, first)
            else:
                self._learn(opcode, content)

    def messages(self) -> Iterator[Raw]:
        """Chunks and messages of each run of the clock merged by time; a chunk is held from its first to its last."""
        begins = self._set_back()
        later: defaultdict[int, list[Waiting]] = defaultdict(list)  # what a chunk holds of the runs that follow
        for run, (begin, end) in enumerate(pairwise([(0, 0), *begins, END])):
            waiting = [(first, at, list[Raw]()) for at, first in self._found.items() if begin <= (at, 0) < end]
            waiting += later.pop(run, [])
            heapq.heapify(waiting)
            while waiting:
                _, at, messages = heapq.heappop(waiting)
                if not messages:
                    messages, *others = self._load(at, [n for chunk, n in begins if chunk == at and n])
                    for number, part in enumerate(others, run + 1):
                        later[number] += [(part[-1].stamp, at, part)] if part else []
                while messages and (not waiting or messages[-1].stamp <= waiting[0][0]):
                    yield messages.pop()
                if messages:
                    heapq.heappush(waiting, (messages[-1].stamp, at, messages))

    def _load(self, at: int, cuts: list[int]) -> list[list[Raw]]:
        """The messages of a chunk, or the one message, at an offset, before and after each cut: the last one first."""
        parts: list[list[Raw]] = [[] for _ in range(len(cuts) + 1)]
        whole, n = True, 0
        for opcode, content in self._contents(at):
            if opcode == CHUNK:
                whole = False
            elif opcode != MESSAGE:
                self._learn(opcode, content)
            else:
                if (raw := self._message(content)) is not None:
                    parts[bisect_right(cuts, n)].append(raw)
                n += 1
        if not whole:
            self.damaged += sum(map(len, parts)) or 1
            return [[]]
        return [sorted(part, key=lambda raw: raw.stamp)[::-1] for part in parts]

    def _set_back(self) -> list[Place]:
        """Where the clock had been set back."""
        order = StorageOrder()
        for at in sorted(self._found):
            for n, (channel, stamp) in enumerate(self._stored(at)):
                if stamp <= LATEST:
                    order.take(channel, stamp, (at, n))
        return order.begins

    def _stored(self, at: int) -> list[tuple[int, int]]:
        """Channels and times of a chunk, or of the one message, at an offset, in the order in which they lie there.

        A chunk's index has them; only one that has none, or whose index is cut off, is decompressed for it.
        """
        self._file.seek(at)
        head = self._file.read(HEADER + 2)
        if head[0] == MESSAGE:
            return [(int.from_bytes(head[HEADER:], "little"), self._found[at])]
        # a damaged length may be larger than any place in a file
        self._file.seek(min(at + HEADER + int.from_bytes(head[1:HEADER], "little"), self._end))
        found = []
        while len(head := self._file.read(HEADER)) == HEADER and head[0] == MESSAGE_INDEX:
            content = self._file.read(min(int.from_bytes(head[1:], "little"), LARGEST))
            channel, entries = int.from_bytes(content[:2], "little"), content[6:]
            found += [
                (place, channel, stamp)
                for stamp, place in struct.iter_unpack("<QQ", entries[: len(entries) // 16 * 16])
            ]
        if found and len(head) == HEADER:
            return [(channel, stamp) for _, channel, stamp in sorted(found)]
        records = list(self._contents(at))
        if any(opcode == CHUNK for opcode, _ in records):  # damaged
            return []
        stored = (content for opcode, content in records if opcode == MESSAGE)
        return [struct.unpack_from("<H4xQ", content.ljust(14, b"\0")) for content in stored]

    def _contents(self, at: int) -> Iterator[Record]:
        """The records of a chunk, or the one record at an offset; after those of a damaged chunk, the chunk itself."""
        self._file.seek(at)
        head = self._file.read(HEADER)
        size = int.from_bytes(head[1:], "little")
        content = self._file.read(min(size, LARGEST))
        if head[:1] != bytes([CHUNK]):
            if len(content) == size:
                yield head[0], content
            return
        data, whole = _inflate(content)
        yield from _records(io.BytesIO(data))
        if not whole and len(content) == size:
            yield CHUNK, content

    def _message(self, content: bytes) -> Raw | None:
        if len(content) < 22:
            return None
        number, _, received, _ = struct.unpack_from("<HIQQ", content)
        if number not in self._channels and not self._searched:  # no summary, and the file is not in order
            self._searched = True
            for at in sorted(self._found):
                for opcode, found in self._contents(at):
                    self._learn(opcode, found)
        if number not in self._channels:
            self.damaged += 1
            return None
        topic, kind, encoding, definition = self._channels[number]
        data = unpacked(content[22:])
        if data is None or received > LATEST:
            self.damaged += 1
            return None
        return Raw(topic, kind, data, received, encoding, definition)

    def _learn(self, opcode: int, content: bytes) -> None:
        try:
            if opcode == SCHEMA:
                (number,) = struct.unpack_from("<H", content)
                name, at = _text(content, 2)
                form, at = _text(content, at)
                self._schemas[number] = full_type(name), Definition(form, _text(content, at)[0])
            elif opcode == CHANNEL:
                number, schema = struct.unpack_from("<HH", content)
                topic, at = _text(content, 4)
                kind, definition = self._schemas.get(schema, ("", NO_DEFINITION))
                self._channels[number] = topic, kind, _text(content, at)[0], definition
        except (struct.error, UnicodeDecodeError):
            pass  # damaged; its messages are counted


def _records(file: BinaryIO) -> Iterator[Record]:
    """All whole records."""
    while len(header := file.read(HEADER)) == HEADER:
        size = int.from_bytes(header[1:], "little")
        content = file.read(min(size, LARGEST))
        if len(content) == size:
            yield header[0], content


def _text(content: bytes, at: int) -> tuple[str, int]:
    """A string, its length in 4 bytes before it, and where it ends."""
    (size,) = struct.unpack_from("<I", content, at)
    return content[at + 4 : at + 4 + size].decode(), at + 4 + size


def _inflate(chunk: bytes) -> tuple[bytes, bool]:
    """The records of a chunk, as far as its bytes go, and whether they are those that were written."""
    stream = io.BytesIO(chunk)
    stream.seek(16)  # times
    size, crc = struct.unpack("<QI", stream.read(12).ljust(12, b"\0"))
    name = stream.read(int.from_bytes(stream.read(4), "little"))
    stream.seek(8, io.SEEK_CUR)  # compressed size
    if name == b"":
        data = stream.read()
    else:
        decoder = zstd.ZstdDecompressor() if name == b"zstd" else lz4.frame.LZ4FrameDecompressor()
        parts = []
        try:
            while block := stream.read(BLOCK):
                parts.append(decoder.decompress(block))
        except (zstd.ZstdError, RuntimeError, EOFError):
            pass  # damaged from here on; what came before is good
        data = b"".join(parts)
    return data, len(data) == size and crc in (0, crc32(data))
