"""Cuts what a live robot says into bags, one an instruction, in the layout that training reads. No ROS here.

    instruction   |put the red block in the bowl     |open the drawer        (stop)
    bags          [ 20260101-120000_put_the_red ]    [ ..._open_the_drawer ]

A bag is written in place and flushed twice a second: a recorder that is killed leaves an MCAP file without
its end and without metadata.yaml, of which `policy.data.bags` reads all that was flushed.
"""

import logging
import re
import shutil
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Writer

from policy.data.bags import TYPES, channels, open_writer
from policy.errors import InputError
from policy.robot.contract import STRING, Contract

LOG = logging.getLogger("midstream.recording")
SHORTEST_NS = 500_000_000  # less is no demonstration, e.g. an instruction that was corrected at once
SET_BACK_NS = 1_000_000_000  # a clock that falls back by more begins a new bag


class Bag:
    """One bag that is being written."""

    def __init__(self, folder: Path, instruction: str, contract: Contract, now_ns: int) -> None:
        self.path = _free(folder / f"{time.strftime('%Y%m%d-%H%M%S')}_{_slug(instruction)}")
        self.instruction, self.begun = instruction, now_ns
        self.counts: Counter[str] = Counter()
        self.success: bool | None = None
        self._writer: Writer
        self._open: dict[str, Connection]
        self._writer, self._open = open_writer(self.path, channels(contract))

    def write(self, topic: str, cdr: bytes, now_ns: int) -> None:
        """Write a serialised message."""
        self._writer.write(self._open[topic], now_ns, cdr)
        self.counts[topic] += 1

    def flush(self) -> None:
        """Hand all that was written to the operating system, out of reach of this process's death."""
        storage: Any = self._writer.storage
        if storage.chunk.msgs:  # else the chunk has no message, and no time that readers could sort it by
            storage.close_chunk()
        storage.bio.flush()

    def close(self) -> None:
        """Write index and metadata: the bag is whole."""
        self._writer.set_custom_data("instruction", self.instruction)
        if self.success is not None:
            self._writer.set_custom_data("success", str(self.success).lower())
        self._writer.close()

    def abandon(self) -> None:
        """Leave the file as it is, without index and metadata."""
        with suppress(OSError):  # what is buffered does not fit on the disk either
            self._writer.abort()


class Recorder:
    """Takes raw messages of a contract's topics, and keeps those between `start` and `stop`.

    `folder` gets one rosbag2 directory an instruction. Times are those of the robot's clock [ns].
    """

    def __init__(self, contract: Contract, folder: Path) -> None:
        self.contract, self.folder = contract, folder
        self.bag: Bag | None = None
        self.on = False
        self.fault = ""  # why recording ended by itself, "" where it did not
        self.saved = 0  # bags that are whole
        self.topics = {c.topic.lstrip("/"): c for c in channels(contract)}
        self.needed = [t.lstrip("/") for t in (*contract.observed, *contract.commanded)]  # to train
        self._instruction = contract.instruction.lstrip("/")
        self._latched: dict[str, bytes] = {}  # newest of each latched topic: each bag begins with them
        self._last = 0

    @property
    def instruction(self) -> str:
        """The instruction in force, "" before the first."""
        return _text(self._latched.get(self._instruction))

    def start(self, now_ns: int) -> str:
        """Record from now on; the answer says into what. `InputError` where nothing can be written."""
        if self.on:
            where = self.bag.path if self.bag else self.folder
            raise InputError(f"recording already, into {where}; stop it first")
        if now_ns == 0:
            raise InputError("no clock yet: use_sim_time is set and nobody publishes /clock")
        self.on, self.fault = True, ""
        if not self.instruction:
            return f"waiting for an instruction on {self.contract.instruction}"
        self._begin(now_ns)
        if self.bag is None:
            raise InputError(self.fault)
        return f"recording {self.bag.path}"

    def stop(self) -> str:
        """End the episode and keep it."""
        if not self.on:
            raise InputError("not recording; start first")
        self.on = False
        return self._end() or "stopped; no episode had begun"

    def discard(self) -> str:
        """Throw away the episode that is being recorded; recording goes on with the next instruction."""
        if self.bag is None:
            raise InputError("no episode is being recorded; bags that are whole are yours to delete")
        bag, self.bag = self.bag, None
        bag.abandon()
        shutil.rmtree(bag.path)
        return f"discarded {bag.path}"

    def mark(self, success: bool) -> str:
        """Note in the bag whether the episode succeeded; the last mark counts."""
        if self.bag is None:
            raise InputError("no episode is being recorded; mark it before it ends")
        self.bag.success = success
        return f"marked {self.bag.path.name} as {'a success' if success else 'a failure'}"

    def take(self, topic: str, cdr: bytes, now_ns: int) -> None:
        """One message as it came from the wire."""
        if now_ns < self._last - SET_BACK_NS and self.bag is not None:
            LOG.warning("the clock was set back: a new bag begins")
            self._end()
            self._begin(now_ns)
        self._last = now_ns
        if self.topics[topic].latched:
            if self._latched.get(topic) == cdr:
                return  # said again, as some publishers do every second: still the same episode
            self._latched[topic] = cdr
            if topic == self._instruction and self.on and self.instruction:
                self._end()
                self._begin(now_ns)
                return
        if self.bag is not None:
            self._guarded(lambda bag: bag.write(topic, cdr, now_ns))

    def flush(self) -> None:
        """Call twice a second: what is flushed survives a kill."""
        if self.bag is not None:
            self._guarded(lambda bag: bag.flush())

    def _begin(self, now_ns: int) -> None:
        """A bag of its own for the instruction in force, which is its first message."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.bag = Bag(self.folder, self.instruction, self.contract, now_ns)
        except OSError as error:
            self._broke(error)
            return
        for topic, cdr in self._latched.items():
            self._guarded(lambda bag, topic=topic, cdr=cdr: bag.write(topic, cdr, now_ns))

    def _end(self) -> str:
        """Close the bag, if there is one; says what became of it."""
        bag, self.bag = self.bag, None
        if bag is None:
            return ""
        if self._last - bag.begun < SHORTEST_NS:
            bag.abandon()
            shutil.rmtree(bag.path)
            return f"dropped {bag.path.name}: {(self._last - bag.begun) / 1e9:.2f} s is too short"
        try:
            bag.close()
        except OSError as error:
            self.bag = bag
            self._broke(error)
            return self.fault
        self.saved += 1
        missing = [t for t in self.needed if not bag.counts[t]]
        return f"saved {bag.path}" + (
            f"; nothing came on {', '.join(missing)}: training cannot use it" if missing else ""
        )

    def _guarded(self, act: Any) -> None:
        try:
            act(self.bag)
        except OSError as error:
            self._broke(error)

    def _broke(self, error: OSError) -> None:
        """The disk refuses: keep what is there, stop, say so."""
        bag, self.bag, self.on = self.bag, None, False
        if bag is not None:
            bag.abandon()
        self.fault = (
            f"recording ended: {error.strerror or error}; what was flushed is kept"
            f"{f' in {bag.path}' if bag else ''}; free space below {self.folder} and start again"
        )
        LOG.error("%s", self.fault)


def _text(cdr: bytes | None) -> str:
    """The String in a serialised message; "" for none or for bytes that are no text."""
    if cdr is None:
        return ""
    try:
        message: Any = TYPES.deserialize_cdr(cdr, STRING)
    except Exception:  # rosbags raises whatever the broken bytes lead to
        return ""
    return message.data.strip()


def _slug(text: str) -> str:
    return "_".join(re.findall(r"[a-z0-9]+", text.lower())[:6])[:48] or "episode"


def _free(path: Path) -> Path:
    """The path, or the next one that is not there yet."""
    tried, n = path, 1
    while tried.exists():
        n += 1
        tried = path.with_name(f"{path.name}_{n}")
    return tried
