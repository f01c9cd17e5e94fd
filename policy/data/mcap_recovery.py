"""What is whole in an MCAP file that was cut off or damaged: its records in file order, without any index.

A recorder that is killed leaves no footer and, in its last chunk, half a compressed block: the messages that
the block still holds are kept too. File format: https://mcap.dev/spec
"""

import io
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import lz4.frame

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAGIC = b"\x89MCAP0\r\n"
SCHEMA, CHANNEL, MESSAGE, CHUNK = 3, 4, 5, 6
HEADER = 9  # bytes of a record's opcode and length
BLOCK = 1 << 16

Record = tuple[int, bytes]  # opcode, content


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
        for opcode, content in _records(file):
            try:
                if opcode == SCHEMA:
                    (number,) = struct.unpack_from("<H", content)
                    schemas[number] = _text(content, 2)
                elif opcode == CHANNEL:
                    number, schema = struct.unpack_from("<HH", content)
                    channels[number] = _text(content, 4), schemas.get(schema, "")
                elif opcode == MESSAGE:
                    number, _, received, _ = struct.unpack_from("<HIQQ", content)
                    if number in channels:
                        yield Raw(*channels[number], content[22:], received)
            except (struct.error, UnicodeDecodeError):
                continue  # damaged


def _records(file: BinaryIO) -> Iterator[Record]:
    """All whole records, those inside chunks included."""
    while len(header := file.read(HEADER)) == HEADER:
        size = int.from_bytes(header[1:], "little")
        content = file.read(min(size, 1 << 32))
        if header[0] == CHUNK:
            yield from _records(io.BytesIO(_inflate(content)))
        elif len(content) == size:
            yield header[0], content


def _text(content: bytes, at: int) -> str:
    """A string: its length in 4 bytes, then itself."""
    (size,) = struct.unpack_from("<I", content, at)
    return content[at + 4 : at + 4 + size].decode()


def _inflate(chunk: bytes) -> bytes:
    """The records of a chunk, as far as its bytes go."""
    stream = io.BytesIO(chunk)
    stream.seek(28)  # start and end time, size and checksum of the content
    name = stream.read(int.from_bytes(stream.read(4), "little"))
    stream.seek(8, io.SEEK_CUR)  # compressed size
    if name == b"":
        return stream.read()
    decoder = zstd.ZstdDecompressor() if name == b"zstd" else lz4.frame.LZ4FrameDecompressor()
    parts = []
    try:
        while data := stream.read(BLOCK):
            parts.append(decoder.decompress(data))
    except (zstd.ZstdError, RuntimeError, EOFError):
        pass  # damaged from here on; what came before is good
    return b"".join(parts)
