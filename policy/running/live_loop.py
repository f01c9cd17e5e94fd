"""The control loop on a live robot: one thread that infers, woken by a frame or by a new instruction.

    caller's thread   observe(frame)  instruct(text)  fault(reason)    never wait for an inference
    inference thread        begin -> run -> finish -> publish

Every frame leads to a publication of all that is still to come, so that whoever listens can tell silence from
rest; a frame is inferred from when the loop is due. Once an instruction is done, the chunks are one set-point.
"""

import threading
from collections.abc import Callable
from time import monotonic_ns

import numpy as np

from policy.running.conditions import NO_CONDITIONS, Conditions
from policy.running.loop import NO_INSTRUCTION, InferenceLoop
from policy.running.session import Session
from policy.spec import Frame

UNMOVED = 0.1  # rad: when a joint has moved further than this, a camera sees another picture

Publish = Callable[
    [int, np.ndarray, np.ndarray], None
]  # now, times (N,) ns, both on the robot's clock; set-points (N, A)


class LiveLoop:
    """Frames and instructions in, set-points out through `publish`; `close` ends its thread.

    `clock` gives the robot's time in ns, `stale_s` is how old a frame may be that is inferred from; `schedule` as in
    `InferenceLoop`. Figures and status are read from `loop`.
    """

    def __init__(
        self,
        session: Session,
        clock: Callable[[], int],
        publish: Publish,
        replan_s: float | None = None,
        stale_s: float = 0.15,
        schedule: str | None = None,
    ) -> None:
        self.loop = InferenceLoop(session, self._newest, replan_s, schedule)
        self._clock, self._publish, self._stale = clock, publish, round(stale_s * 1e9)
        self._wake = threading.Condition(threading.RLock())
        self._frame: Frame | None = None
        self._frame_at = 0  # steady ns
        self._unchanged: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # camera -> its picture, the state then
        self._event = self._closed = False
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)
        self._thread.start()

    def observe(self, frame: Frame) -> None:
        """Take the newest frame, publish what is still to come, and wake the inference."""
        with self._wake:
            if self._frame is not None and frame.stamp < self._frame.stamp:
                self.loop.clock_set_back(frame.stamp)
                self._unchanged.clear()
            if frozen := self._frozen(frame):
                self.fault(frozen)
                return
            self._frame, self._frame_at = frame, monotonic_ns()
            self._flush()
            self._event = True
            self._wake.notify()

    def instruct(self, text: str, conditions: Conditions = NO_CONDITIONS) -> None:
        """Change the instruction, as `InferenceLoop.instruct`; raises `InputError` where that does."""
        with self._wake:
            self.loop.instruct(text, self._now(), conditions)
            self._unchanged.clear()
            self._flush()  # of the former instruction only what cannot be taken back
            self._event = True
            self._wake.notify()

    def reset(self, reason: str = NO_INSTRUCTION) -> None:
        """Forget the instruction and all that is scheduled; the arm comes to rest and the status says why."""
        with self._wake:
            self.loop.reset(self._now(), reason)
            self._unchanged.clear()
            self._flush()

    def fault(self, reason: str) -> None:
        """Command nothing until the next frame: the sensors cannot be trusted."""
        with self._wake:
            held = bool(self.loop.reason)
            self.loop.fault(reason, self._now())
            if not held:
                self._flush()

    def close(self) -> None:
        """Bring the arm to rest and end the thread, after the inference that it is in."""
        with self._wake:
            self.fault("closed")
            self._closed = True
            self._wake.notify()
        self._thread.join()

    # -- with the lock held

    def _now(self) -> int:
        """The robot's time: a frame proves its own."""
        return max(self._clock(), self._frame.stamp if self._frame else 0)

    def _newest(self) -> Frame | None:
        """The frame to infer from, unless it is stale."""
        return self._frame if monotonic_ns() - self._frame_at < self._stale else None

    def _flush(self) -> None:
        """Publish what is still to come."""
        now = self._now()
        times, actions = self.loop.set_points(now)
        if len(times):
            self._publish(now, times, actions)

    def _frozen(self, frame: Frame) -> str:
        """Whether a camera repeats one picture while the joints move."""
        frozen = ""
        for name, image in frame.images.items():
            seen = self._unchanged.get(name)
            if seen is not None and seen[0] is image:  # a slower camera's newest picture again: it shows nothing new
                continue
            if seen is None or not np.array_equal(seen[0], image):
                self._unchanged[name] = image, frame.state
            elif np.abs(frame.state - seen[1]).max() > UNMOVED:
                frozen = f"camera {name} is frozen: the same picture while the joints move"
        return frozen

    # -- the inference thread

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closed or self._event)
                if self._closed:
                    return
                self._event = False
                work = self.loop.begin(self._frame.stamp if self._frame else 0)
            while work is not None:
                began, error = monotonic_ns(), None
                try:
                    work.run()
                except Exception as raised:  # whatever a graph or the sentence encoder raises is reported
                    error = raised
                took = (monotonic_ns() - began) * 1e-9
                with self._wake:
                    held = bool(self.loop.reason)
                    self.loop.finish(work, self._now(), took, error)
                    if not (held and self.loop.reason):
                        self._flush()
                    urgent = self.loop.urgent and not self._closed
                    work = self.loop.begin(self._frame.stamp if self._frame else 0) if urgent else None
