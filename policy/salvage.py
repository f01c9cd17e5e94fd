"""What is whole in an MCAP file that was cut off or damaged: its records in file order, without any index.

A recorder that is killed leaves no footer and, in its last chunk, half a compressed block: the messages that
the block still holds are kept too. File format: https://mcap.dev/spec
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import lz4.frame
import zstandard
from mcap.exceptions import McapError
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader

MAGIC = b"\x89MCAP0\r\n"
HEADER, CHUNK = 9, 6        # bytes of a record's opcode and length; opcode of a chunk
BLOCK = 1 << 16


class Raw(NamedTuple):
    """A message as it lies in the file."""

    topic: str
    type: str
    data: bytes
    stamp: int  # ns, when it was received


def is_whole(path: Path) -> bool:
    """Whether an MCAP file ends as its format asks."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC or file.seek(0, io.SEEK_END) < 2 * len(MAGIC):
            return False
        file.seek(-len(MAGIC), io.SEEK_END)
        return file.read() == MAGIC


def messages(path: Path) -> Iterator[Raw]:
    """All messages that can still be read from a file without end."""
    schemas: dict[int, str] = {}
    channels: dict[int, tuple[str, str]] = {}
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return
        for block in _blocks(file):
            try:
                for record in StreamReader(io.BytesIO(block), skip_magic=True).records:
                    if isinstance(record, Schema):
                        schemas[record.id] = record.name
                    elif isinstance(record, Channel):
                        channels[record.id] = (record.topic, schemas.get(record.schema_id, ""))
                    elif isinstance(record, Message) and record.channel_id in channels:
                        topic, kind = channels[record.channel_id]
                        yield Raw(topic, kind, record.data, record.log_time)
            except (McapError, EOFError, ValueError):
                continue  # the rest of this block is damaged


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Runs of whole records: those outside chunks one by one, those inside a chunk together."""
    while len(header := file.read(HEADER)) == HEADER:
        size = int.from_bytes(header[1:], "little")
        body = file.read(min(size, 1 << 32))
        if header[0] == CHUNK:
            yield _whole_records(_inflate(body))
        elif len(body) == size:
            yield header + body
        if len(body) < size:
            return


def _inflate(chunk: bytes) -> bytes:
    """The records of a chunk, as far as its bytes go."""
    stream = io.BytesIO(chunk)
    stream.seek(28)  # start and end time, size and checksum of the content
    name = stream.read(int.from_bytes(stream.read(4), "little")).decode(errors="replace")
    stream.seek(8, io.SEEK_CUR)  # compressed size
    if name == "":
        return stream.read()
    decoder = zstandard.ZstdDecompressor().decompressobj() if name == "zstd" else lz4.frame.LZ4FrameDecompressor()
    parts = []
    try:
        while data := stream.read(BLOCK):
            parts.append(decoder.decompress(data))
    except (zstandard.ZstdError, RuntimeError, EOFError):
        pass  # damaged from here on; what came before is good
    return b"".join(parts)


def _whole_records(data: bytes) -> bytes:
    """Cut a run of records after the last whole one."""
    end = 0
    while end + HEADER <= len(data):
        size = int.from_bytes(data[end + 1:end + HEADER], "little")
        if end + HEADER + size > len(data):
            break
        end += HEADER + size
    return data[:end]
