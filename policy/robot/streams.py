"""Messages in, time-aligned frames out: the one code that a live robot and a bag both pass.

    lead camera   |s0        |s1        |s2      s = image on which a frame is due
    other camera   |          |                  matched within a quarter of a step, else the newest before
    joints        ||||||||||||||||||||           newest at or before the newest image

A frame is due on an image of the contract's first camera, on a grid of dt: an image may be up to dt / 4
early, one up to dt / 2 late keeps the grid, a later one begins it anew. So a camera at the policy's rate
loses no image to jitter, and one of 30 Hz feeds a policy of 20 Hz at 20 Hz on average.

A due frame is released as soon as nothing that belongs to it can still come: every other camera has given an
image of that time or later, and every group of joints a value of that time or later. The next image of the
lead camera ends the waiting. What a frame holds follows from stamps alone, so the order in which topics
happen to arrive does not change it.

Messages are duck-typed: those of rclpy and of rosbags have equal fields.
"""

import logging
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import numpy as np

from policy.errors import unknown
from policy.robot.contract import TRAJECTORY, Camera, Contract, Joints
from policy.robot.decode import Unusable, command_decoder, image_decoder, joint_decoder
from policy.spec import Frame

LOG = logging.getLogger("midstream.streams")
KEEP = 1024  # messages of one stream: a second of joints at 1 kHz
KEEP_IMAGES = 16
RESTART = 20  # messages in a row from the past: the clock was set back, not the message late


class Stream:
    """One field of the contract: its decoder, its newest values and its health."""

    def __init__(self, name: str, source: Camera | Joints, decode: Callable[[Any], Any], keep: int) -> None:
        self.name, self.source, self.decode = name, source, decode
        self.stamps: list[int] | deque[int] = deque(maxlen=keep) if keep else []
        self.values: list[Any] | deque[Any] = deque(maxlen=keep) if keep else []
        self.max_age = round(source.max_age * 1e9)
        self.last = -(2**63)  # stamp of the newest message
        self.behind = 0  # messages in a row from before it
        self.fault = ""  # why messages are dropped now, "" when they are not
        self.dropped = 0  # since the fault began

    def stamp(self, message: Any, receive_ns: int) -> int:
        """The message's time in ns, by the contract's rule."""
        if self.source.stamp == "receive" or not hasattr(message, "header"):
            return receive_ns
        at = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        return at or receive_ns  # an unset stamp: a trajectory that is to start now

    def newest(self, at: int) -> int | None:
        """Index of the newest value at or before a time."""
        for i in range(len(self.stamps) - 1, -1, -1):
            if self.stamps[i] <= at:
                return i
        return None

    def clear(self) -> None:
        """Forget all values and times."""
        self.stamps.clear()
        self.values.clear()
        self.last, self.behind = -(2**63), 0


class Streams:
    """Buffers of all topics of a contract; `push` messages, take due frames with `frame`."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.lost: Counter[str] = Counter()  # reason -> messages or frames that could not be used
        self.restarts = 0  # times that the clock was set back
        self._dt = contract.spec.dt_ns
        self._slop = self._dt // 4
        self._cameras = {
            name: Stream(f"camera {name} ({c.topic})", c, image_decoder(c), KEEP_IMAGES)
            for name, c in contract.cameras.items()
        }
        self._state = [Stream(f"state {_short(s)} ({s.topic})", s, joint_decoder(s), KEEP) for s in contract.state]
        # set-points are kept for a whole episode; a live node does not push them
        self._commands = [
            Stream(f"action {_short(c.source)} ({c.source.topic})", c.source, command_decoder(c.source), 0)
            for c in contract.action
        ]
        self._lead = next(iter(self._cameras.values()))
        self._topics: dict[str, list[Stream]] = {}
        for stream in (*self._cameras.values(), *self._state, *self._commands):
            self._topics.setdefault(stream.source.topic.lstrip("/"), []).append(stream)
        self._ready: deque[Frame] = deque()
        self._pending: int | None = None  # stamp of the lead image whose frame is due
        self._due: int | None = None  # when the next frame is due

    def push(self, topic: str, message: Any, receive_ns: int) -> None:
        """Take one message; one that does not fit is dropped, counted in `lost` and warned about once."""
        streams = self._topics.get(topic.lstrip("/"))
        if streams is None:
            raise unknown("topic", topic, self._topics)
        for stream in streams:
            at = stream.stamp(message, receive_ns)
            try:
                value = stream.decode(message)
                if value is None:
                    continue  # another publisher's share of the topic
                if at < stream.last:
                    raise Unusable(f"times run backwards by {(stream.last - at) / 1e9:.3f} s")
            except Unusable as error:
                self._drop(stream, str(error), at < stream.last)
                continue
            self._accept(stream, at, value)
        self._release(force=False)

    def frame(self) -> Frame | None:
        """The next frame, None while none is complete."""
        return self._ready.popleft() if self._ready else None

    def flush(self) -> None:
        """Nothing more will come: release the frame that waits."""
        self._release(force=True)

    def setpoint_at(self, at: int) -> np.ndarray | None:
        """The action (A,) float32 in force at a time [ns], None before the first command."""
        parts = []
        for stream in self._commands:
            i = bisect_right(stream.stamps, at)
            if i == 0:
                return None
            parts.append(stream.values[i - 1])
        return np.concatenate(parts).astype(np.float32)

    def settled(self, at: int) -> bool:
        """Whether no command can still come that would change the set-point in force at a time [ns]."""
        return all(stream.last > at for stream in self._commands)

    def clear(self) -> None:
        """Forget all messages, as after a jump of the clock; the counts stay."""
        for streams in self._topics.values():
            for stream in streams:
                stream.clear()
        self._ready.clear()
        self._pending = self._due = None

    def _accept(self, stream: Stream, at: int, value: Any) -> None:
        if stream.fault:
            LOG.warning("%s: right again after %d dropped messages", stream.name, stream.dropped)
            stream.fault, stream.dropped = "", 0
        stream.last, stream.behind = at, 0
        if stream.source.type == TRAJECTORY:
            times, points = value
            start = bisect_left(stream.stamps, at + times[0])
            while len(stream.stamps) > start:  # a new trajectory replaces what the last one had still to do
                stream.stamps.pop()
                stream.values.pop()
            stream.stamps.extend(at + t for t in times)
            stream.values.extend(points)
            return
        if stream is self._lead:
            self._release(force=True)
        stream.stamps.append(at)
        stream.values.append(value)
        if stream is self._lead and (self._due is None or at >= self._due - self._slop):
            if self._due is None or at > self._due + self._dt // 2:
                self._due = at
            # a camera a little faster than the rate pulls the grid along, so that it never loses an image
            self._due = min(self._due, at + self._slop // 2) + self._dt
            self._pending = at

    def _drop(self, stream: Stream, why: str, backwards: bool) -> None:
        reason = "times run backwards" if backwards else why
        self.lost[f"{stream.name}: {reason}"] += 1
        if not stream.fault:
            LOG.warning("%s: %s; dropped until it is right again", stream.name, why)
        stream.fault = why
        stream.dropped += 1
        stream.behind = stream.behind + 1 if backwards else 0
        if stream.behind == RESTART:
            LOG.warning("%s: the clock was set back; all streams begin anew", stream.name)
            self.restarts += 1
            self.clear()

    def _release(self, force: bool) -> None:
        """Build the frame that waits, once nothing that belongs to it can still come."""
        if self._pending is None:
            return
        lead = stamp = self._pending
        chosen: list[tuple[Stream, int | None]] = []
        for camera in self._cameras.values():
            i = camera.newest(lead) if camera is self._lead else _matched(camera, lead, self._slop)
            if i == len(camera.stamps):  # nothing of that time yet
                if not force:
                    return
                i = camera.newest(lead)
            chosen.append((camera, i))
            if i is not None:
                stamp = max(stamp, camera.stamps[i])
        if not force and any(s.last < stamp for s in self._state):
            return
        self._pending = None
        chosen += [(s, s.newest(stamp)) for s in self._state]
        values = []
        for stream, i in chosen:
            if i is None or stamp - stream.stamps[i] > stream.max_age:
                why = "nothing yet" if i is None else f"older than {stream.source.max_age:g} s"
                self.lost[f"frame without {stream.name}: {why}"] += 1
                return
            values.append(stream.values[i])
        images = dict(zip(self._cameras, values, strict=False))
        state = np.concatenate(values[len(images) :], dtype=np.float32)
        self._ready.append(Frame(stamp, images, state))


def _matched(camera: Stream, lead: int, slop: int) -> int | None:
    """Index of the image that goes with a lead image; the buffer's length while it may still come."""
    i = bisect_left(camera.stamps, lead - slop)
    if i < len(camera.stamps) and camera.stamps[i] > lead + slop:
        return camera.newest(lead)
    return i


def _short(joints: Joints) -> str:
    names = joints.names or joints.joints
    return names[0] if len(names) == 1 else f"{names[0]}..{names[-1]}"
