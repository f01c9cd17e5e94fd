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
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from policy.errors import unknown
from policy.robot import continuous, setpoints
from policy.robot.contract import Contract
from policy.robot.decode import Trajectory, Unusable, command_decoder, image_decoder, joints_decoder
from policy.robot.message_types import JOINT_STATE
from policy.robot.motors import Motors
from policy.robot.setpoints import CommandHistory, SetPoints
from policy.robot.sources import Camera, Source
from policy.robot.stream import JOINTS_KEPT, Stream
from policy.spec import Frame

BEFORE = -(2**62)  # ns: before any time
LOG = logging.getLogger("midstream.streams")
IMAGES_KEPT = 16
COMMANDS_KEPT = 1  # their set-points are kept in a history
LIVE_NS = 5_000_000_000  # how long a live robot's commands are kept
RESTART = 20  # messages in a row from the past: the clock was set back, not the message late

Decode = Callable[[Any], Sequence[Any]]  # message -> a value, `Unusable` or None for each stream of a topic


class Streams:
    """Buffers of all topics of a contract; `push` messages, take due frames with `frame`.

    `motors` is filled from the same messages. `corrections` is added to the header stamps of a topic [ns].
    `restarted` gets what was commanded before the clock was set back. Of a bag the commands are those of the
    demonstration, and all are kept; a live robot's are those that it gets, of what nothing else measures. What is
    dropped of a live robot's messages is logged, too.
    """

    def __init__(
        self,
        contract: Contract,
        motors: Motors | None = None,
        corrections: Mapping[str, int] | None = None,
        restarted: Callable[[list[SetPoints]], None] | None = None,
        live: bool = False,
    ) -> None:
        self.contract = contract
        self.dropped: Counter[str] = Counter()  # reason -> messages or frames that could not be used
        self.restarts = 0  # times that the clock was set back
        self._live = live
        self._corrections, self._restarted = corrections or {}, restarted
        self._dt = contract.spec.dt_ns
        self._slop = self._dt // 4
        self._cameras = {
            name: Stream(f"camera {name} ({c.topic})", c, IMAGES_KEPT) for name, c in contract.cameras.items()
        }
        self._state = [Stream(f"state {_short(s)} ({s.topic})", s, JOINTS_KEPT) for s in contract.state]
        self._commands: dict[Stream, CommandHistory] = {}
        self._unmeasured: list[tuple[CommandHistory, np.ndarray]] = []  # and the state before the first command
        for c in contract.action:
            if live and not c.initial:
                continue
            source = c.sent if live else c.source
            stream = Stream(f"action {_short(source)} ({source.topic})", source, COMMANDS_KEPT)
            stream.turns = np.array([contract.turns.get(name, 0.0) for name in source.spec_names])
            self._commands[stream] = CommandHistory(len(source.spec_names))
            if c.initial:
                self._unmeasured.append((self._commands[stream], np.array(c.initial)))
        self._motors = motors.streams if motors is not None else []
        self._lead = next(iter(self._cameras.values()))
        self._topics = self._by_topic()
        self._ready: deque[Frame] = deque()
        self._pending: int | None = None  # stamp of the lead image whose frame is due
        self._due: int | None = None  # when the next frame is due

    def push(self, topic: str, message: Any, receive_ns: int) -> None:
        """Take one message; one that does not fit is dropped and counted in `dropped`, of a robot warned about once."""
        topic = topic.lstrip("/")
        if topic not in self._topics:
            raise unknown("topic", topic, self._topics)
        for decode, streams in self._topics[topic]:
            for stream, value in zip(streams, decode(message), strict=True):
                at = stream.stamp(message, receive_ns, self._corrections.get(topic, 0))
                if value is None:  # another publisher's share of the topic
                    stream.others = list(message.name if hasattr(message, "name") else message.joint_names)
                elif at < stream.last:
                    self._drop(stream, f"times run backwards by {(stream.last - at) / 1e9:.3f} s", True)
                elif isinstance(value, Unusable):
                    self._drop(stream, str(value), False)
                else:
                    self._accept(stream, at, receive_ns, value)
        self._release(force=False)

    def reads(self, topic: str) -> bool:
        """Whether a topic, without leading slash, is one of the contract's."""
        return topic in self._topics

    def frame(self) -> Frame | None:
        """The next frame, None while none is complete."""
        return self._ready.popleft() if self._ready else None

    def flush(self) -> None:
        """Nothing more will come: release the frame that waits."""
        self._release(force=True)

    def setpoints(self) -> list[SetPoints]:
        """What was commanded so far, for each group of the action."""
        return [history.frozen() for history in self._commands.values()]

    def setpoint_at(self, at: int) -> np.ndarray | None:
        """The action (A,) float32 in force at a time [ns], None before the first command."""
        action = setpoints.join(self.setpoints(), np.array([at]))[0]
        return None if np.isnan(action).any() else action

    def uncommanded(self) -> str:
        """Which group of the action had no command, and what its topic had instead; "" where each had one."""
        for stream, history in self._commands.items():
            if not history:
                return f"{stream.name}: {_absent(stream)}"
        return ""

    def clear(self, hold: int | None = None) -> None:
        """Forget all messages, as after a jump of the clock; the counts stay.

        With `hold`, a time [ns] before the jump, the set-points of then stay in force: nobody commands them again.
        """
        for topic in self._topics.values():
            for _, streams in topic:
                for stream in streams:
                    stream.clear()
        for history in self._commands.values():
            held = None if hold is None else history.value(hold)
            history.clear()
            if held is not None:
                history.hold(BEFORE, held)
        self._ready.clear()
        self._pending = self._due = None

    def _by_topic(self) -> dict[str, list[tuple[Decode, list[Stream]]]]:
        """How a message of each topic becomes the values of which streams; joint states are converted once."""
        topics: dict[str, list[tuple[Decode, list[Stream]]]] = {}
        joints: dict[str, list[Stream]] = {}
        for stream in (*self._cameras.values(), *self._state, *self._commands, *self._motors):
            source, topic = stream.source, stream.source.topic.lstrip("/")
            if source.type == JOINT_STATE and isinstance(source, Source) and source.joints:
                joints.setdefault(topic, []).append(stream)
                continue
            one = image_decoder(source) if isinstance(source, Camera) else command_decoder(source)
            topics.setdefault(topic, []).append((_alone(one), [stream]))
        for topic, streams in joints.items():
            sources = [s.source for s in streams if isinstance(s.source, Source)]
            topics.setdefault(topic, []).append((joints_decoder(sources), streams))
        return topics

    def _accept(self, stream: Stream, at: int, receive_ns: int, value: Any) -> None:
        if stream.fault:
            self._warn("%s: right again after %d dropped messages", stream.name, stream.dropped)
            stream.fault, stream.dropped = "", 0
        if stream is self._lead:
            self._release(force=True)
        if stream in self._commands:
            stream.last, stream.behind = at, 0
            self._command(stream, at, receive_ns, value)
            if self._live:
                self._commands[stream].forget(receive_ns - LIVE_NS)
        else:
            stream.append(at, value)
        if stream is self._lead and (self._due is None or at >= self._due - self._slop):
            if self._due is None or at > self._due + self._dt // 2:
                self._due = at
            # a camera a little faster than the rate pulls the grid along, so that it never loses an image
            self._due = min(self._due, at + self._slop // 2) + self._dt
            self._pending = at

    def _command(self, stream: Stream, at: int, receive_ns: int, value: np.ndarray | Trajectory) -> None:
        history = self._commands[stream]
        if not isinstance(value, Trajectory):
            history.hold(at, self._counted(stream, at, value[None])[0])
            return
        start = None if history.known(receive_ns) else self._standing(stream, receive_ns)
        positions = self._counted(stream, receive_ns, value.positions)
        history.follow(receive_ns, at + value.times, positions, value.velocities, start)

    def _counted(self, stream: Stream, at: int, positions: np.ndarray) -> np.ndarray:
        """Set-points (N, n) of joints that turn without end, counted as their state is at a time [ns]."""
        if not stream.turns.any() or (standing := self._standing(stream, at)) is None:
            return positions
        return continuous.counted_on(positions, standing, stream.turns)

    def _standing(self, command: Stream, at: int) -> np.ndarray | None:
        """Where the joints of a command (n,) stand at a time [ns], None where their state is unknown."""
        values: dict[str, float] = {}
        for stream in self._state:
            if (i := stream.fresh(at)) is not None:
                values |= zip(_names(stream), stream.values[i].tolist(), strict=True)
        names = _names(command)
        return np.array([values[name] for name in names]) if all(name in values for name in names) else None

    def _drop(self, stream: Stream, why: str, backwards: bool) -> None:
        if stream in self._motors:
            return  # the state's own stream counts what is wrong with the message
        reason = "times run backwards" if backwards else why
        self.dropped[f"{stream.name}: {reason}"] += 1
        if not stream.fault:
            self._warn("%s: %s; dropped until it is right again", stream.name, why)
        stream.fault = why
        stream.dropped += 1
        stream.behind = stream.behind + 1 if backwards else 0
        if stream.behind == RESTART:
            self._warn("%s: the clock was set back; all streams begin anew", stream.name)
            self.restarts += 1
            if self._restarted is not None:
                self._restarted(self.setpoints())
            self.clear()

    def _warn(self, message: str, *about: object) -> None:
        """Of a robot at once; of a bag the counts are reported at its end."""
        if self._live:
            LOG.warning(message, *about)

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
                why = _absent(stream) if i is None else f"older than {stream.source.max_age:g} s"
                self.dropped[f"frame without {stream.name}: {why}"] += 1
                return
            values.append(stream.values[i])
        images = dict(zip(self._cameras, values, strict=False))
        values += [initial if (now := h.value(stamp - 1)) is None else now for h, initial in self._unmeasured]
        state = np.concatenate(values[len(images) :], dtype=np.float32)
        self._ready.append(Frame(stamp, images, state))


def _matched(camera: Stream, lead: int, slop: int) -> int | None:
    """Index of the image that goes with a lead image; the buffer's length while it may still come."""
    i = bisect_left(camera.stamps, lead - slop)
    if i < len(camera.stamps) and camera.stamps[i] > lead + slop:
        return camera.newest(lead)
    return i


def _alone(decode: Callable[[Any], Any]) -> Decode:
    """The decoder of a topic that has one stream."""

    def one(message: Any) -> list[Any]:
        try:
            return [decode(message)]
        except Unusable as error:
            return [error]

    return one


def _absent(stream: Stream) -> str:
    """Why a stream has no value."""
    if stream.others is None or not isinstance(stream.source, Source):
        return "nothing yet"
    wanted = ", ".join(stream.source.joints)
    if not stream.others:
        return f"got joints without names, expected {wanted}; read them by place, as fields: ['position[0]', ...]"
    return f"got the joints {', '.join(stream.others)}, expected {wanted}"


def _names(stream: Stream) -> tuple[str, ...]:
    assert isinstance(stream.source, Source)
    return stream.source.spec_names


def _short(joints: Source) -> str:
    names = joints.names or joints.joints
    return names[0] if len(names) == 1 else f"{names[0]}..{names[-1]}"
