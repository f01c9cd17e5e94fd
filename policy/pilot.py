"""The policy at work on a live robot: one thread that infers, woken by a frame or by a new instruction.

    caller's thread   observe(frame)  instruct(text)  watch()     never wait for an inference
    inference thread        infer -> schedule -> publish

Every frame leads to a publication of all that is still to come, so that whoever listens can tell silence from
rest; only every `replan`-th one is inferred from. An instruction is an event: it wakes the thread at once,
and what was being inferred under the former one is dropped.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic_ns

import numpy as np

from policy.errors import InputError
from policy.runtime import Runtime
from policy.schedule import Schedule
from policy.spec import Frame

LOG = logging.getLogger("midstream.pilot")
LONGEST = 1000     # characters of an instruction; the sentence encoder reads about as many
NOTHING = "no instruction yet"
KEPT = 512         # latencies that the percentiles are of
UNMOVED = 0.1      # rad: when a joint has moved further than this, a camera sees another picture

Publish = Callable[[np.ndarray, np.ndarray], None]  # times (N,) ns from now, set-points (N, A)


class Pilot:
    """Frames and instructions in, set-points out through `publish`; `close` ends its thread.

    `clock` gives the robot's time in ns. `reason` says why nothing is commanded, "" while something is.
    """

    def __init__(self, runtime: Runtime, clock: Callable[[], int], publish: Publish,
                 replan: int = 8, stale: float = 0.15) -> None:
        self.runtime, self._clock, self._publish = runtime, clock, publish
        self._dt = runtime.spec.dt_ns
        self._replan, self._stale = replan * self._dt - self._dt // 2, round(stale * 1e9)
        self.reason = NOTHING
        self.text = ""      # instruction in force
        self.former = ""    # the one before it
        self.served = ""    # the one that the newest chunk serves
        self.switches = self.inferences = self.failures = self.outdated = 0
        self.waiting: deque[float] = deque(maxlen=KEPT)    # s, frame's stamp to publication, less inference
        self.inferring: deque[float] = deque(maxlen=KEPT)  # s
        self.reacting: deque[float] = deque(maxlen=KEPT)   # s, instruction to its first chunk
        self._schedule = Schedule()
        self._scheduled = 0                                # id of the instruction that is scheduled
        self._keep_until = 0                               # ns, of the former one once a new one has come
        self._wake = threading.Condition(threading.RLock())
        self._frame: Frame | None = None
        self._frame_at = 0                                 # steady ns
        self._asked: tuple[str, int] | None = None         # instruction that waits, and when it came
        self._due = self._busy = self._closed = False
        self._inferred = -(2**62)                          # stamp of the frame last inferred from
        self._still: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # camera -> its picture, the state then
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)
        self._thread.start()

    def observe(self, frame: Frame) -> None:
        """Take the newest frame: infer from it if it is time to, else publish what is still to come."""
        with self._wake:
            if self._frame is not None and frame.stamp < self._frame.stamp:  # the clock was set back
                self._schedule.clear()
                self._still.clear()
                self._inferred = -(2**62)
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
        """Change the instruction; the same one again changes nothing.

        Raises `InputError` for one that is empty, too long or not text.
        """
        text = text.strip()
        if not text:
            raise InputError("got an empty instruction, expected a sentence")
        if len(text) > LONGEST:
            raise InputError(f"got an instruction of {len(text)} characters, expected at most {LONGEST}")
        if "\ufffd" in text or not text.isprintable():
            raise InputError("got an instruction that is not readable, expected UTF-8 without control "
                             "characters")
        with self._wake:
            if text == (self._asked[0] if self._asked else self.text):
                return
            if self._scheduled == self.runtime.instruction:  # a second one does not prolong the first
                slack = float(np.median(self.inferring)) if self.inferring else 0.0
                self._keep_until = self._clock() + 2 * self._dt + round(2e9 * slack)
            self._asked = text, monotonic_ns()
            self._still.clear()
            self._wake.notify()

    def reset(self) -> None:
        """Forget the instruction and all that is scheduled; the arm comes to rest."""
        with self._wake:
            self._idle(NOTHING)
            self._still.clear()
            self._asked, self.text, self.former, self.served, self.reason = None, "", "", "", NOTHING

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
        self.reason = reason if self.text else NOTHING
        self._schedule.clear()

    def _flush(self) -> None:
        """Publish what is still to come; of a former instruction only what cannot be taken back."""
        now = max(self._clock(), self._frame.stamp if self._frame else 0)  # a frame proves its time
        times, actions = self._schedule.ahead(now)
        if self._asked or self._scheduled != self.runtime.instruction:
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
                asked, frame, self._asked, self._due, self._busy = self._asked, self._frame, None, False, True
                if asked:
                    self.switches += bool(self.text)
                    self.former, self.text = self.text, asked[0]
                fresh = frame is not None and monotonic_ns() - self._frame_at < self._stale
            try:
                self._serve(asked, frame if fresh else None)
            except Exception as error:  # whatever a graph throws, the next frame is another try
                self.failures += 1
                with self._wake:
                    self._idle(f"inference failed: {error}")
            with self._wake:
                self._busy = False

    def _serve(self, asked: tuple[str, int] | None, frame: Frame | None) -> None:
        if asked:
            try:
                self.runtime.instruct(asked[0])
            except InputError as error:
                with self._wake:
                    self._idle(str(error))
                    self.text, self.reason = "", str(error)
                return
        if frame is None:
            return
        began = monotonic_ns()
        chunk = self.runtime.infer(frame)
        took = (monotonic_ns() - began) * 1e-9
        with self._wake:
            if self._asked or not self.text:  # another instruction came meanwhile, or a reset
                self.outdated += 1
                return
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
