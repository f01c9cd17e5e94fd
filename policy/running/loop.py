"""The policy at work on a live robot: one thread that infers, woken by a frame or by a new instruction.

    caller's thread   observe(frame)  instruct(text)  watch()     never wait for an inference
    inference thread        infer -> schedule -> publish

Every frame leads to a publication of all that is still to come, so that whoever listens can tell silence from
rest; only every `replan`-th one is inferred from. An instruction is an event: it wakes the thread at once,
and what was being inferred under the former one is dropped. Once an instruction is done, the policy's chunks
are one set-point, and go on.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic_ns

import numpy as np

from policy.errors import InputError
from policy.running.schedule import Schedule
from policy.running.session import Session
from policy.spec import ExecutionEstimate, Frame

LOG = logging.getLogger("midstream.pilot")
LONGEST = 1000  # characters of an instruction; the sentence encoder reads about as many
NOTHING = "no instruction yet"
KEPT = 512  # latencies that the percentiles are of
UNMOVED = 0.1  # rad: when a joint has moved further than this, a camera sees another picture

Publish = Callable[[np.ndarray, np.ndarray], None]  # times (N,) ns from now, set-points (N, A)


class Pilot:
    """Frames and instructions in, set-points out through `publish`; `close` ends its thread.

    `clock` gives the robot's time in ns. `reason` says why nothing is commanded, "" while something is.
    """

    def __init__(
        self, session: Session, clock: Callable[[], int], publish: Publish, replan: int = 8, stale: float = 0.15
    ) -> None:
        self.session, self._clock, self._publish = session, clock, publish
        session.reset()
        self._dt = session.spec.dt_ns
        self._replan, self._stale = replan * self._dt - self._dt // 2, round(stale * 1e9)
        self.reason = NOTHING
        self.text = ""  # instruction in force
        self.served = ""  # the one that the newest chunk serves
        self.execution_estimate: ExecutionEstimate | None = (
            None  # of the newest chunk; None with a policy that does not tell
        )
        self.touching = False  # contact as told, with hysteresis
        self.finished = False  # whether the instruction in force is done
        self.switches = self.inferences = self.failures = self.outdated = 0
        self.waiting: deque[float] = deque(maxlen=KEPT)  # s, frame's stamp to publication, less inference
        self.inferring: deque[float] = deque(maxlen=KEPT)  # s
        self.reacting: deque[float] = deque(maxlen=KEPT)  # s, instruction to its first chunk
        self._schedule = Schedule()
        self._scheduled = 0  # id of the instruction that is scheduled
        self._keep_until = 0  # ns, of the former one once a new one has come
        self._wake = threading.Condition(threading.RLock())
        self._frame: Frame | None = None
        self._frame_at = 0  # steady ns
        self._said = ""  # words of the newest instruction
        self._asked: tuple[str, int] | None = None  # instruction that waits, and when it came
        self._due = self._busy = self._closed = False
        self._inferred = -(2**62)  # stamp of the frame last inferred from
        self._still: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # camera -> its picture, the state then
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)
        self._thread.start()

    @property
    def unfinished(self) -> str:
        """What "continue" would take up again, "" if nothing."""
        return self.session.unfinished

    def observe(self, frame: Frame) -> None:
        """Take the newest frame: infer from it if it is time to, else publish what is still to come."""
        with self._wake:
            if self._frame is not None and frame.stamp < self._frame.stamp:  # the clock was set back
                self._schedule.clear()
                self._still.clear()
                self._inferred = -(2**62)
                if self.text:  # in a simulation begun anew, so does the instruction
                    self.session.reset()
                    self._asked = self._asked or (self.text, monotonic_ns())
            if frozen := self._frozen(frame):
                self._idle(frozen)
                return
            self._frame, self._frame_at = frame, monotonic_ns()
            if frame.stamp - self._inferred >= self._replan or self.reason:
                self._due = bool(self.text)
            if self._due and not self._busy:
                self._wake.notify()
            else:
                self._flush()

    def instruct(self, text: str) -> None:
        """Change the instruction; the same one again changes nothing, unless it is done.

        "continue" takes the unfinished one up again. Raises `InputError`, and what is under way goes on, for
        one that is empty, too long or not text and where nothing is unfinished. One that the policy does not
        know is refused later: the arm comes to rest, and `reason` says so.
        """
        text = text.strip()
        if not text:
            raise InputError("got an empty instruction, expected a sentence")
        if len(text) > LONGEST:
            raise InputError(f"got an instruction of {len(text)} characters, expected at most {LONGEST}")
        if "\ufffd" in text or not text.isprintable():
            raise InputError("got an instruction that is not readable, expected UTF-8 without control characters")
        with self._wake:
            present = self._asked[0] if self._asked else self.text
            if text in (self._said, present) and (self._asked or not self.finished):
                return
            meant = self.session.meant(text)
            if self._scheduled == self.session.instruction:  # a second one does not prolong the first
                slack = float(np.median(self.inferring)) if self.inferring else 0.0
                self._keep_until = self._clock() + 2 * self._dt + round(2e9 * slack)
            self._said, self._asked = text, (meant, monotonic_ns())
            self._still.clear()
            self._wake.notify()

    def reset(self) -> None:
        """Forget the instruction and all that is scheduled; the arm comes to rest."""
        with self._wake:
            self._idle(NOTHING)
            self._still.clear()
            self.session.reset()
            self._asked, self._said, self.text, self.served, self.reason = None, "", "", "", NOTHING
            self.execution_estimate, self.touching, self.finished = None, False, False

    def fault(self, reason: str) -> None:
        """Command nothing until the next frame: the sensors cannot be trusted."""
        with self._wake:
            self._idle(reason)

    def close(self) -> None:
        """Bring the arm to rest and end the thread, after the inference that it is in."""
        with self._wake:
            self._idle("closed")
            self._closed = True
            self._wake.notify()
        self._thread.join()

    # -- with the lock held

    def _idle(self, reason: str) -> None:
        """Bring the arm to rest within two steps, and forget what is scheduled: it will be outdated."""
        if not self.reason:
            LOG.warning("holding: %s", reason)
            now = self._clock()
            rest = self._schedule.at(now + self._dt)
            if rest is not None:
                self._publish(np.array([2 * self._dt]), rest[None])
        if self.text:
            self.reason = reason
        self._schedule.clear()

    def _flush(self) -> None:
        """Publish what is still to come; of a former instruction only what cannot be taken back."""
        now = max(self._clock(), self._frame.stamp if self._frame else 0)  # a frame proves its time
        times, actions = self._schedule.ahead(now)
        if self._asked or self._scheduled != self.session.instruction:
            keep = int(np.searchsorted(times, self._keep_until, "right"))
            times, actions = times[:keep], actions[:keep]
        if len(times) and not self.reason:
            self._publish(times - now, actions)

    def _frozen(self, frame: Frame) -> str:
        """Whether a camera repeats one picture while the joints move."""
        frozen = ""
        for name, image in frame.images.items():
            seen = self._still.get(name)
            if seen is None or not np.array_equal(seen[0], image):
                self._still[name] = image, frame.state
            elif np.abs(frame.state - seen[1]).max() > UNMOVED:
                frozen = f"camera {name} is frozen: the same picture while the joints move"
        return frozen

    # -- the inference thread

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closed or self._asked or self._due)
                if self._closed:
                    return
                asked, self._busy = self._asked, True
            try:
                if asked:
                    self._take(asked)
                if frame := self._newest():
                    self._infer(frame, asked)
            except Exception as error:  # whatever a graph throws, the next frame is another try
                self.failures += 1
                with self._wake:
                    self._idle(f"inference failed: {error}")
            with self._wake:
                self._busy = False

    def _take(self, asked: tuple[str, int]) -> None:
        refused = ""
        try:
            self.session.instruct(asked[0])
        except Exception as error:  # unknown, or whatever the sentence encoder throws
            refused = str(error)
        with self._wake:
            if self._asked is asked:
                self._asked = None
            self.switches += self.text not in ("", asked[0])
            if refused:
                self._idle(refused)
                self.reason = refused
            self.text, self.finished = self.session.text, False

    def _newest(self) -> Frame | None:
        """The frame to infer from, unless it is stale or nothing is to be done."""
        with self._wake:
            self._due = False
            return self._frame if self.text and monotonic_ns() - self._frame_at < self._stale else None

    def _infer(self, frame: Frame, asked: tuple[str, int] | None) -> None:
        began = monotonic_ns()
        chunk = self.session.infer(frame)
        took = (monotonic_ns() - began) * 1e-9
        with self._wake:
            if self._asked or not self.text:  # another instruction came meanwhile, or a reset
                self.outdated += 1
                return
            self.execution_estimate, self.touching, self.finished = (
                chunk.execution_estimate,
                self.session.touching,
                self.session.finished,
            )
            now = max(self._clock(), frame.stamp)
            if chunk.instruction != self._scheduled:
                self._schedule.switch(chunk.instruction, now)
                self._scheduled = chunk.instruction
            if not self._schedule.add(chunk) or not len(self._schedule.ahead(now)[0]):
                self.outdated += 1
                self._idle(f"nothing of a chunk is still to come: inference took {took:.2f} s")
                return
            if self.reason:
                LOG.warning("commanding: %s", self.text)
            self._inferred, self.reason, self.served = frame.stamp, "", self.text
            self.inferences += 1
            self._flush()
            self.inferring.append(took)
            self.waiting.append((self._clock() - frame.stamp) * 1e-9 - took)
            if asked:
                self.reacting.append((monotonic_ns() - asked[1]) * 1e-9)
