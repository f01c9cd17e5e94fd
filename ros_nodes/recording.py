"""A live robot's messages into bags, one for each instruction, in the layout that training reads. No ROS here.

instruction   |put the red block in the bowl     |open the drawer        (stop)
bags          [ 20260101-120000_put_the_red ]    [ ..._open_the_drawer ]
"""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from policy.data.bag_writer import channels
from policy.data.raw import TYPES
from policy.errors import InputError
from policy.robot.contract import Contract
from policy.robot.instructions import continues, stops
from policy.robot.message_types import STRING
from ros_nodes.episode_bag import EpisodeBag

LOG = logging.getLogger("midstream.recording")
SHORTEST_NS = 500_000_000  # less is no demonstration, e.g. an instruction that was corrected at once
CLOCK_RESET_NS = 1_000_000_000  # a clock that falls back by more begins a new bag


class Recorder:
    """Takes raw messages of a contract's topics, and writes those between `start` and `stop`.

    `folder` gets one rosbag2 directory for each instruction. Times are of the robot's clock [ns].
    """

    def __init__(self, contract: Contract, folder: Path) -> None:
        self.contract, self.folder = contract, folder
        self.bag: EpisodeBag | None = None
        self.active = False  # between start and stop
        self.fault = ""  # why recording ended by itself, "" where it did not
        self.saved = 0  # complete bags
        self.topics = {c.topic.lstrip("/"): c for c in channels(contract)}
        self.required = [t.lstrip("/") for t in (*contract.observed, *contract.commanded)]  # to train
        self.instruction = ""  # in force, "" before the first
        self._unfinished = ""  # superseded before it was marked as a success: what "continue" resumes
        self._instructions = contract.instruction.lstrip("/")
        self._received: dict[str, bytes] = {}  # newest of each latched topic
        self._latched: dict[str, bytes] = {}  # as each bag begins: with the sentence in place of "continue"
        self._newest: dict[str, int] = {}  # when the newest message of each topic was received

    def start(self, now_ns: int) -> str:
        """Record from now on and return where; `InputError` where nothing can be written."""
        if self.active:
            where = self.bag.path if self.bag else self.folder
            raise InputError(f"recording already, into {where}; stop it first")
        if now_ns == 0:
            raise InputError("no clock yet: use_sim_time is set and nobody publishes /clock")
        self.active, self.fault = True, ""
        if not self.instruction:
            return f"waiting for an instruction on {self.contract.instruction}"
        self._begin(now_ns)
        if self.bag is None:
            raise InputError(self.fault)
        return f"recording {self.bag.path}"

    def stop(self) -> str:
        """End the episode and keep it; `InputError` where the disk does not take its end."""
        if not self.active:
            raise InputError("not recording; start first")
        self.active = False
        said = self._end() or "stopped; no episode had begun"
        if self.fault:
            raise InputError(said)
        return said

    def discard(self) -> str:
        """Delete the episode that is being recorded; recording goes on with the next instruction."""
        if self.bag is None:
            raise InputError("no episode is being recorded; delete complete bags by hand")
        bag, self.bag, self.instruction = self.bag, None, ""
        self._received.pop(self._instructions, None)  # the same sentence is an episode again
        self._latched.pop(self._instructions, None)
        if not bag.delete():
            raise InputError(f"{bag.path} is no longer recorded, but cannot be deleted; delete it by hand")
        return f"discarded {bag.path}"

    def mark(self, success: bool) -> str:
        """Write into the bag whether the episode succeeded; the last mark counts. `InputError` where that fails."""
        if self.bag is None:
            raise InputError("no episode is being recorded; mark it before it ends")
        try:
            self.bag.mark(success)
        except OSError as error:
            raise InputError(f"the mark cannot be written into {self.bag.path}: {error.strerror or error}") from error
        return f"marked {self.bag.path.name} as {'a success' if success else 'a failure'}"

    def push(self, topic: str, cdr: bytes, now_ns: int) -> None:
        """Take one serialised message, received at `now_ns`; those of a topic come in order."""
        if now_ns < self._newest.get(topic, 0) - CLOCK_RESET_NS:
            if self.bag is not None:
                LOG.warning("the clock was set back: a new bag begins")
                self._next(now_ns)
            self._newest = {}
        self._newest[topic] = now_ns
        if self.topics[topic].latched:
            if self._received.get(topic) == cdr:
                return  # published again, as some publishers do every second: still the same episode
            self._received[topic] = cdr
            if topic == self._instructions:
                self._instruct(cdr, now_ns)
                return
            self._latched[topic] = cdr
            if self.bag is not None:
                now_ns = max(now_ns, self.bag.start_ns)  # in force from its begin on, however late it is taken
        if self.bag is not None and self.bag.start_ns <= now_ns:  # else received before it began, and taken late
            self._write(partial(EpisodeBag.write, topic=topic, cdr=cdr, now_ns=now_ns))

    def flush(self) -> None:
        """Call twice a second: what is flushed outlives this process."""
        self._write(EpisodeBag.flush)

    def _instruct(self, cdr: bytes, now_ns: int) -> None:
        """End the bag and begin another, unless the instruction names no other task than the one in force.

        "stop" ends the bag, and the next instruction begins another.
        """
        text = _text(cdr)
        if stops(text):
            if self.instruction and not (self.bag is not None and self.bag.success):
                self._unfinished = self.instruction
            self.instruction = ""
            self._latched.pop(self._instructions, None)
            self._end()
            return
        if continues(text):
            text = self._unfinished  # a bag of its own does not hold what it resumes
            cdr = bytes(TYPES.serialize_cdr(TYPES.types[STRING](data=text), STRING))
        if not text or text == self.instruction:
            return
        succeeded = self.bag is not None and self.bag.success
        if self.instruction and not succeeded:
            self._unfinished = self.instruction
        elif self._unfinished == text:
            self._unfinished = ""
        self.instruction, self._latched[self._instructions] = text, cdr
        if self.active:
            self._next(now_ns)

    def _next(self, now_ns: int) -> None:
        """End the bag and begin another, unless the disk refuses."""
        self._end()
        if self.active:
            self._begin(now_ns)

    def _begin(self, now_ns: int) -> None:
        """A new bag, which begins with the newest latched messages."""
        try:
            self.bag = EpisodeBag(self.folder, self.instruction, self.contract, now_ns)
        except OSError as error:
            self._fail(error)
        for topic, cdr in self._latched.items():
            self._write(partial(EpisodeBag.write, topic=topic, cdr=cdr, now_ns=now_ns))

    def _end(self) -> str:
        """Close the bag, if there is one, and return what became of it."""
        bag, self.bag = self.bag, None
        if bag is None:
            return ""
        seconds = (bag.end_ns - bag.start_ns) / 1e9
        if bag.end_ns - bag.start_ns < SHORTEST_NS:
            kept = "" if bag.delete() else ", but cannot be deleted"
            return f"dropped {bag.path.name}: {seconds:.2f} s is too short{kept}"
        try:
            bag.close()
        except OSError as error:
            self.bag = bag
            self._fail(error)
            return self.fault
        self.saved += 1
        missing = [t for t in self.required if not bag.counts[t]]
        return f"saved {bag.path}" + (
            f"; no message came on {', '.join(missing)}: training cannot use it" if missing else ""
        )

    def _write(self, act: Callable[[EpisodeBag], None]) -> None:
        """Do something with the bag, if there is one; recording ends where the disk refuses."""
        if self.bag is None:
            return
        try:
            act(self.bag)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        """The disk refuses: keep what is there, stop and report it."""
        bag, self.bag, self.active = self.bag, None, False
        if bag is not None:
            bag.abandon()
        self.fault = (
            f"recording ended: {error.strerror or error}; what was flushed is kept"
            f"{f' in {bag.path}' if bag else ''}; free space below {self.folder} or give a folder "
            "that can be written, and start again"
        )
        LOG.error("%s", self.fault)


def _text(cdr: bytes) -> str:
    """The String in a serialised message; "" for bytes that are no text."""
    try:
        message: Any = TYPES.deserialize_cdr(cdr, STRING)
    except Exception:  # rosbags raises whatever the damaged bytes lead to
        return ""
    return str(message.data).strip()
