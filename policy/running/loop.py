"""The control loop without a thread and without a clock of its own: a robot and a simulator drive the same one.

    instruct, fault, reset ---> |            |  set_points(now)  ---> safety monitor ---> controller
                                | Inference- |
    observe() <--- frame -----  |    Loop    |  begin(now) ---> work ---> work.run() ---> finish(work, ...)
                                                                          slow, outside any lock

An instruction is an event: the next work is its embedding and then an inference from the frame at hand; what is
being inferred under the former one is outdated by its id. Of the old chunk only what cannot be taken back goes on.

    "A, then B"   |A ------------- done|B ------------- done|   one after the other; a new instruction drops the rest
    "stop"        |holds at once; "continue" goes on with what was under way, and with what was to follow
"""

import logging
from collections import deque
from collections.abc import Callable

import numpy as np

from policy.errors import InputError, Refused
from policy.robot.instructions import LONGEST, continues, stops
from policy.running.commitment import Commitment
from policy.running.conditions import GOAL_IMAGE, NO_CONDITIONS, Conditions
from policy.running.schedule import STRATEGIES, choose
from policy.running.session import Session
from policy.running.text import Sentence
from policy.running.tracker import Tracker
from policy.running.work import Embedding, Inference, Work
from policy.spec import ExecutionEstimate, Frame

LOG = logging.getLogger("midstream.loop")
NO_INSTRUCTION = "no instruction yet"
STOPPED = "stopped by the instruction"
KEPT = 512  # latencies that the percentiles are of


class InferenceLoop:
    """Frames and instructions in, set-points out; times are ns of the robot's clock, passed in.

    `observe` gives the newest usable frame, None if there is none: it is asked only where one is inferred from.
    `schedule` names a strategy of policy.running.schedule: "rtc" for a policy that reads what is committed, else
    "replace", unless given. `seed` is that of the noise of a head that samples.
    `reason` says why nothing is commanded, "" while something is. Not for several threads at once.
    """

    def __init__(
        self,
        session: Session,
        observe: Callable[[], Frame | None],
        replan_s: float | None = None,
        schedule: str | None = None,
        seed: int = 0,
    ) -> None:
        self.session, self.tracker = session, Tracker(session, seed)
        self._observe, self._dt = observe, session.spec.dt_ns
        replan = session.spec.runtime.replan_s if replan_s is None else replan_s
        self._replan = round(replan * 1e9) - self._dt // 2
        self.reason = NO_INSTRUCTION
        self.served = ""  # the instruction that the newest chunk serves
        self.estimate: ExecutionEstimate | None = None  # of the newest chunk; None with a policy that does not switch
        self.switches = self.inferences = self.failures = self.outdated = 0
        self.inference_s: deque[float] = deque(maxlen=KEPT)
        self.waiting_s: deque[float] = deque(maxlen=KEPT)  # frame's stamp to its chunk, less inference
        self.reaction_s: deque[float] = deque(maxlen=KEPT)  # instruction to its first chunk
        self._strategy = choose(schedule, session.spec)
        self._schedule = STRATEGIES[self._strategy]()
        self._commitment = Commitment(self._dt, session.spec.horizon)
        self._following: list[Sentence] = []  # what the instruction names beside what is in force, in order
        self._completed: list[str] = []  # and what of it was done before
        self._asked: Embedding | None = None  # the instruction that waits to be embedded
        self._words = ""  # of the newest instruction, as it was given
        self._answering: int | None = None  # ns, when the instruction came that has no chunk yet
        self._wanted = self._busy = False
        self._faults = 0  # what was being inferred before one is not commanded after it
        self._keep_until = 0  # ns, of the former instruction's set-points once a new one has come
        self._inferred = -(2**62)  # stamp of the frame last inferred from

    @property
    def text(self) -> str:
        """The instruction in force, "" if none."""
        return self.tracker.text

    @property
    def done(self) -> bool:
        """Whether all that the instruction names is done."""
        return not self._following and self.tracker.finished  # in this order: see `_follow`

    @property
    def following(self) -> list[str]:
        """What is done after the instruction in force."""
        return [sentence.text for sentence in self._following]

    @property
    def completed(self) -> list[str]:
        """What has been done of the tasks that the newest instruction names."""
        return [*self._completed, *([self.text] if self.tracker.finished else [])]

    @property
    def idle(self) -> bool:
        """Nothing is commanded because nothing is asked for."""
        return self.reason == NO_INSTRUCTION or self.reason.startswith(STOPPED)

    @property
    def pending(self) -> bool:
        """An instruction has come that no chunk serves yet."""
        return self._answering is not None

    @property
    def schedule(self) -> str:
        """The strategy in use: "replace" where chunks come later than can be committed."""
        return "replace" if self._commitment.given_up else self._strategy

    @property
    def joined(self) -> int:
        """The time [ns] of the first set-point that the newest chunk gave: the seam with the one before."""
        return self._schedule.joined

    @property
    def urgent(self) -> bool:
        """There is work that does not wait for the next frame."""
        return self._asked is not None or self._wanted

    # -- events

    def instruct(self, text: str, now: int, conditions: Conditions = NO_CONDITIONS) -> None:
        """Change the instruction; the same one again changes nothing, unless it is done.

        "stop" brings the arm to rest, "continue" resumes the unfinished one, "" with a goal image is that goal. Raises
        `InputError`, and what is under way goes on, for one that is empty, too long or not text, for conditions that do
        not fit and where nothing is unfinished. One that the policy does not know is refused by `finish`: the arm comes
        to rest, and `reason` says so.
        """
        text = text.strip()
        if stops(text):
            LOG.warning("%s %r", STOPPED, text)
            self._withdraw(f"{STOPPED} {text!r}", now)
            return
        conditions.check(self.session.spec)
        if not (not text and conditions.without_words(self.session.spec)):
            check_instruction(text)
        current = self._asked.text if self._asked else self.tracker.text
        same = conditions is (self._asked.conditions if self._asked else self.tracker.conditions)
        same = same or (continues(text) and conditions is NO_CONDITIONS)  # it resumes what it resumed
        if same and text in (self._words, current) and (self._asked or not self.tracker.finished):
            if text != self._words:
                self._following.clear()  # it is asked for alone now
                self._words = text
            return
        meant = self.tracker.resolve(text)
        if continues(text):
            conditions = self.tracker.resumed(conditions)
        if not self.pending:  # a second one does not prolong the first
            self._keep_until = self._committed(now)
        self._asked = Embedding(self.session, _sentence(meant), now, continues(text), conditions)
        self._words, self._answering = text, now
        self._schedule.switch(-1, self._keep_until)  # the id is known once it is accepted

    def fault(self, reason: str, now: int) -> None:
        """Command nothing until the next chunk of a frame to come: the sensors cannot be trusted."""
        self._faults += 1
        self._rest(reason, now)

    def reset(self, now: int, reason: str = NO_INSTRUCTION) -> None:
        """Forget the instruction and all that is scheduled; the arm comes to rest and `reason` says why."""
        self._rest(reason, now)
        self.tracker.reset()
        self.tracker.instruction += 1  # what is being inferred is outdated
        self._asked, self._words, self._answering, self._wanted = None, "", None, False
        self._following, self._completed = [], []
        self.served, self.reason, self.estimate = "", reason, None

    def clock_set_back(self, now: int) -> None:
        """A simulation has begun anew, and so does the instruction in force."""
        self._schedule.clear()
        self._inferred = -(2**62)
        if text := self.tracker.text:
            conditions = self.tracker.conditions
            self.tracker.reset()
            self.tracker.instruction += 1
            again = Embedding(self.session, _sentence(text), now, resumes=True, conditions=conditions)
            self._asked = self._asked or again
            self._answering = now
            self._schedule.switch(-1, 0)

    # -- work

    def begin(self, now: int) -> Work | None:
        """What is to be computed next, None if nothing is; `now`: the stamp of the newest frame there can be."""
        if self._busy:
            return None
        if self._asked:
            self._busy = True
            return self._asked
        due = self._wanted or bool(self.reason) or now - self._inferred >= self._replan
        if not self.tracker.text or not (due or self.tracker.memory_due(now)):
            return None
        frame = self._observe()
        if frame is None:
            return None
        self._busy, self._wanted = True, False
        steps = 0 if self.reason else self._commitment.steps(self.pending)
        committed = self._schedule.committed(frame.stamp, steps, self._dt)
        try:
            feed = self.tracker.inputs(frame, committed)
            return Inference(self.session, frame, feed, self.tracker.instruction, len(committed), due, self._faults)
        except InputError as error:
            self._fail(error, now)
            return None

    def finish(self, work: Work, now: int, took_s: float, error: Exception | None = None) -> None:
        """Take what `work.run()` gave after `took_s` seconds, or the error that it raised."""
        self._busy = False
        if isinstance(work, Embedding):
            if work is self._asked:
                self._accept(work, now, error)
        elif error is not None and not isinstance(error, Refused):
            self._fail(error, now)
        elif self._asked or work.instruction != self.tracker.instruction:  # another instruction came, or a reset
            self.outdated += 1
            self._wanted = True
        elif work.faults != self._faults:
            self.outdated += 1
        elif error is not None:  # a policy server, which alone knows what it was taught, refuses the instruction
            self.tracker.refuse()
            self._come_to_rest(str(error), now)
        else:
            self._take_chunk(work, max(now, work.frame.stamp), took_s)

    def set_points(self, now: int) -> tuple[np.ndarray, np.ndarray]:
        """All that is still to come: times (N,) ns and set-points (N, A); N = 0 where nothing is commanded."""
        return self._schedule.ahead(now)

    # -- within

    def _accept(self, work: Embedding, now: int, error: Exception | None) -> None:
        self._asked = None
        if error is not None or not work.steps:
            self.switches += self.tracker.text not in ("", work.text)
            refused = str(error) if isinstance(error, InputError) else f"the instruction could not be embedded: {error}"
            self._withdraw(refused, now)
            return
        first, *others = work.steps
        if not work.resumes:
            self._following, self._completed = [other for other in others if other is not None], []
        elif self.text:  # what was to follow belongs to the instruction that is left for it
            self._following, self._completed = [], []
        self._carry_out(first, work.conditions)

    def _carry_out(self, sentence: Sentence | None, conditions: Conditions = NO_CONDITIONS) -> None:
        """Bring an instruction in force, of which the next inference is."""
        text = GOAL_IMAGE if sentence is None else sentence.text
        self.switches += self.tracker.text not in ("", text)
        self._schedule.switch(self.tracker.accept(text, sentence, conditions), self._keep_until)
        self._wanted = True

    def _follow(self, now: int) -> None:
        """The next task of the instruction, once the one before is done."""
        LOG.info("done: %s", self.text)
        self._completed.append(self.text)
        self._keep_until, self._answering = self._committed(now), now
        self._carry_out(self._following[0], self.tracker.conditions)
        del self._following[0]  # last: whoever looks meanwhile from another thread must not take all for done

    def _withdraw(self, reason: str, now: int) -> None:
        """No instruction is in force any more; the arm comes to rest and `reason` says why."""
        self.tracker.withdraw()
        self._come_to_rest(reason, now)

    def _come_to_rest(self, reason: str, now: int) -> None:
        """Nothing is asked for any more, for a reason."""
        self._rest(reason, now)
        self._asked, self._words, self._answering, self._wanted = None, "", None, False
        self.reason = reason

    def _committed(self, now: int) -> int:
        """Until when [ns] set-points of the former instruction are executed, if another one comes now."""
        latency = round(2e9 * float(np.median(self.inference_s))) if self.inference_s else 0
        return now + 2 * self._dt + latency

    def _take_chunk(self, work: Inference, now: int, took_s: float) -> None:
        assert work.outputs is not None
        chunk = self.tracker.update(work.frame, work.outputs, work.committed)
        self.estimate = chunk.execution_estimate
        self.inference_s.append(took_s)
        if not work.due:
            return
        if self.tracker.finished:
            self._schedule.finish()
        added = self._schedule.add(chunk, now)
        self._commitment.measured(now - work.frame.stamp, work.committed, added)
        if not added:
            self.outdated += 1
            if work.committed and len(self._schedule.ahead(now)[0]):  # what was scheduled goes on
                self._wanted = True
                return
            self._rest(f"nothing of a chunk is still to come: inference took {took_s:.2f} s", now)
            return
        if self.reason:
            LOG.info("commanding: %s", self.tracker.text)
        self._inferred, self.reason, self.served = work.frame.stamp, "", self.tracker.text
        self.inferences += 1
        self.waiting_s.append((now - work.frame.stamp) * 1e-9 - took_s)
        if self._answering is not None:
            if self._answering > 0:  # before a simulated clock is heard it is no time
                self.reaction_s.append((now - self._answering) * 1e-9)
            self._answering = None
        if self._following and self.tracker.finished:
            self._follow(now)

    def _fail(self, error: Exception, now: int) -> None:
        """Whatever a graph raises, the next frame is another try."""
        self._busy = False
        self.failures += 1
        self._rest(f"inference failed: {error}", now)

    def _rest(self, reason: str, now: int) -> None:
        """Bring the arm to rest within two steps; what is scheduled is outdated."""
        if not self.reason:
            LOG.warning("holding: %s", reason)
            self._schedule.rest(now + self._dt, now + 2 * self._dt)
        if self.tracker.text or self._asked:
            self.reason = reason


def _sentence(text: str) -> str:
    """What the encoder reads: nothing of an instruction without a sentence."""
    return "" if text == GOAL_IMAGE else text


def check_instruction(text: str) -> None:
    """`InputError` for what is no sentence, before anything else is done with it."""
    if not text:
        raise InputError("got an empty instruction, expected a sentence such as 'open the drawer'")
    if len(text) > LONGEST:
        raise InputError(f"got an instruction of {len(text)} characters, expected at most {LONGEST}")
    if "\ufffd" in text or not text.isprintable():
        raise InputError("got an instruction that is not readable, expected UTF-8 without control characters")
