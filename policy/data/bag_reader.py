"""A bag's messages through the same streams as a live robot's: frames, commands and words, in the order of time."""

from collections import Counter
from collections.abc import Callable
from dataclasses import astuple
from typing import Any, NamedTuple

import numpy as np

from policy.data.clocks import Alignment
from policy.data.definitions import decode
from policy.data.raw import Raw
from policy.data.storage_order import SET_BACK
from policy.errors import InputError
from policy.robot.contract import Contract
from policy.robot.motors import Motors
from policy.robot.setpoints import SetPoints
from policy.robot.streams import Streams

Pictures = dict[str, np.ndarray]  # camera -> uint8 (height, width, 3)
Take = Callable[[Pictures], None]


class Seen(NamedTuple):
    """A frame without its pictures."""

    run: int  # of the clock: how often it was set back before
    stamp: int  # ns
    state: np.ndarray  # (S,)
    motion: np.ndarray  # (J, 3), see policy.robot.motors


class Said(NamedTuple):
    """An instruction or a label."""

    stamp: int  # ns
    value: Any
    run: int = 0  # of the clock, as of a frame


class BagReader:
    """Takes the messages of one bag; `take` gets the pictures of each frame at once, all else is kept."""

    def __init__(self, contract: Contract, alignment: Alignment, take: Take) -> None:
        self.frames: list[Seen] = []
        self.texts: dict[str, list[Said]] = {}  # instruction and labels, by topic
        self._received = -(2**62)  # ns, newest since the clock was last set back
        self._ahead = False  # whether messages are received at times of before, and no stream has told so yet
        self._earlier: list[list[SetPoints]] = []  # what was commanded before the clock was set back
        self._motors, self._take = Motors(contract), take
        self._streams = Streams(contract, self._motors, alignment.headers, self._earlier.append)
        named = (contract.instruction, *astuple(contract.labels))
        self._labels = {topic.lstrip("/") for topic in named if topic}
        self._reception = alignment.reception
        self._dropped: Counter[str] = Counter()

    @property
    def commands(self) -> list[list[SetPoints]]:
        """What was commanded on each run of the clock, by group of the action."""
        return [*self._earlier, self._streams.setpoints()]

    @property
    def dropped(self) -> Counter[str]:
        """Reason -> messages and frames that could not be used."""
        return self._dropped + self._streams.dropped

    @property
    def uncommanded(self) -> str:
        """Which group of the action had no command, and what came instead; "" where each had one."""
        return self._streams.uncommanded()

    def push(self, raw: Raw) -> None:
        """Take one message."""
        topic, received = raw.topic.lstrip("/"), raw.stamp + self._reception
        try:
            message: Any = decode(raw)
        except InputError:
            raise  # nothing defines the type
        except Exception as error:  # rosbags raises whatever the damaged bytes lead to
            self._dropped[f"{topic}: a message that does not decode ({type(error).__name__})"] += 1
            return
        self._follow_clock(received)
        if topic in self._labels:
            self.texts.setdefault(topic, []).append(Said(received, message.data, self._streams.restarts + self._ahead))
        if self._streams.reads(topic):
            before = self._streams.restarts
            self._streams.push(topic, message, received)
            self._ahead = self._ahead and self._streams.restarts == before
            self._collect()

    def _follow_clock(self, received: int) -> None:
        """A word may be the first message after the clock was set back; the streams need several to tell."""
        if received < self._received - SET_BACK:
            self._ahead, self._received = True, received
        self._received = max(self._received, received)

    def finish(self) -> None:
        """Nothing more will come."""
        self._streams.flush()
        self._collect()

    def _collect(self) -> None:
        while (frame := self._streams.frame()) is not None:
            self._take(frame.images)
            self.frames.append(Seen(self._streams.restarts, frame.stamp, frame.state, self._motors.at(frame.stamp)))
