"""One episode's rosbag2 MCAP directory while it is being recorded. No ROS here.

It is written in place and flushed twice a second: a recorder that is killed leaves an MCAP file without its
end and without metadata.yaml, of which training reads all that was flushed.
"""

import re
import shutil
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Writer

from policy.data import bag_notes
from policy.data.bag_writer import channels, open_writer
from policy.robot.contract import Contract


class EpisodeBag:
    """A bag below `folder`, named by the wall clock and its instruction; `start_ns` is of the robot's clock.

    Raises `OSError` where the disk refuses; the bag is then to be abandoned.
    """

    def __init__(self, folder: Path, instruction: str, contract: Contract, start_ns: int) -> None:
        self.instruction, self.start_ns, self.end_ns = instruction, start_ns, start_ns
        self.counts: Counter[str] = Counter()  # topic -> messages
        self.success: bool | None = None
        self._writer: Writer
        self._connections: dict[str, Connection]
        self.path, self._writer, self._connections = _create(folder, instruction, contract)

    def write(self, topic: str, cdr: bytes, now_ns: int) -> None:
        """Write a serialised message."""
        self._writer.write(self._connections[topic], now_ns, cdr)
        self.counts[topic] += 1
        self.end_ns = max(self.end_ns, now_ns)

    def flush(self) -> None:
        """Give all that was written to the operating system, so that it outlives this process."""
        storage: Any = self._writer.storage
        if storage.chunk.msgs:  # a chunk without messages has no time by which readers could sort it
            storage.close_chunk()
        storage.bio.flush()

    def mark(self, success: bool) -> None:
        """Write down whether the episode succeeded, at once: the mark of a bag that gets no end counts, too."""
        bag_notes.mark(self.path, success)
        self.success = success

    def close(self) -> None:
        """Write index and metadata: the bag is complete."""
        self._writer.set_custom_data("instruction", self.instruction)
        if self.success is not None:
            self._writer.set_custom_data("success", str(self.success).lower())
        self._writer.close()
        (self.path / bag_notes.MARKED).unlink(missing_ok=True)  # the metadata has it

    def abandon(self) -> None:
        """Leave the file as it is, without index and metadata."""
        with suppress(OSError):  # what is buffered does not fit on the disk either
            self._writer.abort()

    def delete(self) -> bool:
        """Delete the directory; False where the file system refuses."""
        self.abandon()
        shutil.rmtree(self.path, ignore_errors=True)
        return not self.path.exists()


def _create(folder: Path, instruction: str, contract: Contract) -> tuple[Path, Writer, dict[str, Connection]]:
    """A new directory: where another recorder has taken the name in the same second, the next free name."""
    name = f"{time.strftime('%Y%m%d-%H%M%S')}_{_slug(instruction)}"
    folder.mkdir(parents=True, exist_ok=True)
    n = 1
    while True:
        path = folder / (name if n == 1 else f"{name}_{n}")
        try:
            return path, *open_writer(path, channels(contract))
        except FileExistsError:
            n += 1


def _slug(text: str) -> str:
    return "_".join(re.findall(r"[a-z0-9]+", text.lower())[:6])[:48] or "episode"
