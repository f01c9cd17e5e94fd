"""What one robot's execution remembers: instruction, contact, mode and done, from one frame to the next.

The policy estimates; the tracker only carries what a single frame cannot show, and hands it back with the next:

    previous_instruction   the one under which the current contact began, or the one that was just superseded
    contact                the policy's own last estimate
    contact_origin         the state in which that contact began

                    A, contact begins    B arrives       contact ends   forward, confirmed   done, confirmed
    previous_instruction  A ----------- A -------------- A -------------- B --------------------- B
    contact_origin        current       onset            onset            current                 current, rest
"""

from typing import Any

import numpy as np

from policy.errors import InputError
from policy.robot.instructions import continues, stops
from policy.running.arrived import described
from policy.running.carried_state import CarriedState
from policy.running.conditions import GOAL_IMAGE, NO_CONDITIONS, Conditions
from policy.running.session import Session
from policy.running.text import Sentence, visible
from policy.spec import MODES, Chunk, ExecutionEstimate, Frame, RuntimeSettings, Spec


class Memory:
    """The execution state of a switching policy, for one robot; pure numpy.

    S state, A action, H horizon, as in policy/spec.py.
    """

    def __init__(self, settings: RuntimeSettings) -> None:
        self.text = ""  # instruction in force; "" if none
        self.unfinished = ""  # the one that was superseded before it was done; "" if none
        self.in_contact = False  # with hysteresis
        self._on, self._off = settings.contact_on, settings.contact_off
        self._confirm = round(settings.confirm_s * 1e9)
        self._contact = 0.0  # the newest estimate
        self._mode = MODES[0]  # the newest one
        self._current: Sentence | None = None  # the newest known instruction; None before the first
        self._previous: Sentence | None = None
        self._acting: Sentence | None = None  # of the newest chunk: what the arm is doing
        self._owner: Sentence | None = None  # the instruction under which the contact began
        self._origin = np.empty(0)  # (S,) the state in which it began
        self._rest: np.ndarray | None = None  # (A,) the set-point at which a finished instruction rests
        self._free_since: int | None = None  # ns, since when nothing is left to undo
        self._done_since: int | None = None  # ns, since when it is estimated done

    @property
    def finished(self) -> bool:
        """Whether the instruction in force is done."""
        return self._rest is not None

    def resolve(self, text: str) -> str:
        """The sentence itself; for "continue" the unfinished one, `InputError` if there is none."""
        if not continues(text):
            return text
        if not self.unfinished:
            raise InputError(f"got {text.strip()!r}, but no instruction was left unfinished; give one in words")
        return self.unfinished

    def instruct(self, text: str, sentence: Sentence) -> None:
        """A new instruction is in force, read by the encoder."""
        self._supersede(text)
        undoing_it = self._mode == "rollback" and self._previous is not None and self._previous.same(sentence)
        self._previous = self._owner if self.in_contact else sentence if undoing_it else self._current or sentence
        self.text, self._current = text, sentence

    def withdraw(self) -> None:
        """No instruction is in force any more; the next one has the last as its previous one."""
        self._supersede("")
        self.text = ""

    def refuse(self) -> None:
        """The instruction in force is none; what it superseded stays unfinished."""
        self._rest = self._free_since = self._done_since = None
        self.text = ""

    def inputs(self, state: np.ndarray) -> dict[str, np.ndarray]:
        """What a switching policy reads beside the observation, state (S,), and the instruction; B = 1."""
        assert self._previous is not None, "an instruction is in force"
        origin = self._origin if self.in_contact else state
        return self._previous.inputs("previous_instruction") | {
            "contact": np.array([[self._contact]], np.float32),
            "contact_origin": np.asarray(origin, np.float32)[None],
        }

    def update(
        self, stamp: int, state: np.ndarray, estimate: np.ndarray, actions: np.ndarray
    ) -> tuple[ExecutionEstimate, np.ndarray]:
        """Take the answer to a frame of a time [ns]: state (S,), execution_estimate (5,), actions (H, A).

        Returns the estimate and the actions; once the instruction is done these are one set-point, repeated.
        """
        self._contact, done, self._mode = float(estimate[0]), float(estimate[1]), MODES[int(np.argmax(estimate[2:]))]
        self._track_contact(state)
        self._track_previous(stamp)
        self._track_done(stamp, done, actions[0])
        self._acting = self._current
        if self._rest is not None:
            actions = np.tile(self._rest, (len(actions), 1))
        return ExecutionEstimate(self._contact, self._mode, done), actions

    def _supersede(self, text: str) -> None:
        if self.text and self.text != text and not self.finished:
            self.unfinished = self.text
        elif self.unfinished == text:
            self.unfinished = ""
        self._rest = self._free_since = self._done_since = None

    def _track_contact(self, state: np.ndarray) -> None:
        """Hysteresis; an onset belongs to the instruction that brought the arm to this frame."""
        before, self.in_contact = (
            self.in_contact,
            (self._contact > self._off if self.in_contact else self._contact >= self._on),
        )
        if self.in_contact and not before:
            self._owner = self._previous = self._acting or self._current
            self._origin = np.array(state, np.float32)

    def _track_previous(self, stamp: int) -> None:
        """Forget the previous instruction once nothing of it has been left to undo for `confirm_s`."""
        if self.in_contact or self._mode != MODES[0]:
            self._free_since = None
            return
        self._free_since = stamp if self._free_since is None else self._free_since
        if stamp - self._free_since >= self._confirm:
            self._previous = self._current

    def _track_done(self, stamp: int, done: float, action: np.ndarray) -> None:
        if done <= 0.5:
            self._done_since = None
            return
        self._done_since = stamp if self._done_since is None else self._done_since
        if self._rest is None and stamp - self._done_since >= self._confirm:
            self._rest = action.copy()


class Tracker:
    """One robot at a session: instructions in, frames in, chunks out; not for several threads at once.

    tracker = Tracker(Session("tabletop"))
    tracker.instruct("open the drawer")
    chunk = tracker.infer(frame)

    A frame before the last one is a new beginning, as of a simulation: of what was before, the instruction in force
    alone remains.
    """

    def __init__(self, session: Session, seed: int = 0) -> None:
        self.session = session
        self.instruction = 0  # id of the newest instruction; 0 before the first
        self._sentence: Sentence | None = None  # the newest instruction; None also where one has only conditions
        self.conditions = NO_CONDITIONS  # of the newest instruction
        self._reads = tuple(session.spec.inputs())
        self._carried = CarriedState(session.spec)
        self._noise = np.random.default_rng(seed)  # of a head that samples
        self.reset()

    def reset(self) -> None:
        """Forget the instruction, all about its execution and the frames before; ids go on."""
        self._memory = Memory(self.session.spec.runtime)
        self._left = NO_CONDITIONS  # of the unfinished instruction
        self._carried.reset()
        self._stamp: int | None = None  # ns, of the newest frame
        self.session.forget()

    @property
    def text(self) -> str:
        """The instruction in force, "" if none."""
        return self._memory.text

    @property
    def unfinished(self) -> str:
        """What "continue" would resume, "" if nothing."""
        return self._memory.unfinished

    @property
    def finished(self) -> bool:
        """Whether the instruction in force is done; only a switching policy knows."""
        return self._memory.finished

    @property
    def in_contact(self) -> bool:
        """Whether the hand holds or touches something, as a switching policy estimates, with hysteresis."""
        return self._memory.in_contact

    def resolve(self, text: str) -> str:
        """The sentence itself; for "continue" the unfinished one, `InputError` if there is none."""
        return self._memory.resolve(text)

    def resumed(self, conditions: Conditions) -> Conditions:
        """The conditions of "continue": those of the unfinished instruction, unless there is another goal."""
        return self._left if conditions.goal_image is None and conditions.goal_state is None else conditions

    def memory_due(self, stamp: int) -> bool:
        """Whether the policy's memory wants the frame of this stamp [ns], also where no chunk is due."""
        return self._carried.due(stamp)

    def instruct(self, text: str, **conditions: Any) -> int:
        """Take a new instruction and return its id; the sentence is read here, never per frame.

        `conditions`: the fields of `Conditions` (goal_image, return_to_go) that this policy reads. "continue" resumes
        the unfinished one. Raises `InputError` for what is no text, for an empty sentence, for conditions that do not
        fit and where nothing is unfinished: the instruction in force stays; for "stop", and, with a switching policy,
        for several tasks and for a sentence unlike all that it was taught: then none is in force any more.
        """
        if not isinstance(text, str):
            raise InputError(f"instruction: got {described(text)}, expected a sentence such as 'open the drawer'")
        given = Conditions.named(conditions)
        given.check(self.session.spec)
        if not visible(text) and given.without_words(self.session.spec):
            return self.accept(GOAL_IMAGE, None, given)
        if stops(text):
            self.withdraw()
            raise InputError(
                f"got {text.strip()[:80]!r}: no instruction is in force any more, and 'continue' resumes it; to bring "
                "the arm to rest is up to what sends it the set-points, as the policy node and the simulator do"
            )
        given = self.resumed(given) if continues(text) else given
        text = self.resolve(text)
        if text == GOAL_IMAGE:
            return self.accept(GOAL_IMAGE, None, given)
        if not visible(text):
            raise InputError("got an empty instruction, expected a sentence such as 'open the drawer'")
        try:
            sentence = self._one_task(text)
        except InputError:
            self.withdraw()
            raise
        return self.accept(text, sentence, given)

    def _one_task(self, text: str) -> Sentence:
        """The sentence, read; `InputError` where it names none, or several: these are done in order by the loop."""
        first, *others = self.session.steps(text)
        if others:
            tasks = ", then ".join(repr(one.text) for one in (first, *others))
            raise InputError(
                f"the instruction {text[:80]!r} names several tasks; a tracker, or a served policy, takes one at a "
                f"time: give {tasks}, each once the one before is done"
            )
        return first

    def accept(self, text: str, sentence: Sentence | None, conditions: Conditions = NO_CONDITIONS) -> int:
        """Take a new instruction that the encoder has read already, None where there is no sentence; return its id."""
        self.instruction += 1
        before = self.text
        self._memory.instruct(text, sentence or _no_sentence(self.session.spec))
        self._leave(before)
        self._sentence, self.conditions = sentence, conditions
        return self.instruction

    def withdraw(self) -> None:
        """No instruction is in force any more."""
        self.instruction += 1
        before = self.text
        self._memory.withdraw()
        self._leave(before)

    def _leave(self, text: str) -> None:
        """The instruction that was in force is not any more: its conditions stay with it while it is unfinished."""
        if text and text == self.unfinished:
            self._left = self.conditions
        elif not self.unfinished:
            self._left = NO_CONDITIONS

    def refuse(self) -> None:
        """The policy does not know the instruction that was accepted: none is in force, nothing else has changed."""
        self.instruction += 1
        self._memory.refuse()

    def inputs(self, frame: Frame, committed: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """What the graph reads for a frame, B = 1; `InputError` for one that does not fit and without instruction.

        `committed` (n, A): the set-points that will be executed whatever comes, i + 1 steps after the frame's stamp.
        """
        if not self.text:
            raise InputError("no instruction is in force; call `instruct` (or publish one) first")
        spec, feed = self.session.spec, self.session.observation(frame)
        if self._stamp is not None and frame.stamp < self._stamp:
            self._begin_anew()
        self._stamp = frame.stamp
        sentence = self._sentence or _no_sentence(spec)
        possible = feed | sentence.inputs("instruction") | self._memory.inputs(feed["state"][0])
        possible |= self.conditions.inputs(spec) | {"instruction_present": np.array([self._sentence is not None])}
        if "prompt" in spec.reads:
            possible |= {"prompt": np.array([sentence.text]), "stamp": np.array([frame.stamp])}
            possible |= {"instruction_id": np.array([self.instruction])}
        if "committed" in spec.reads:
            rows, count = np.zeros((1, spec.horizon, len(spec.action)), np.float32), 0
            if committed is not None and len(committed):
                count = len(committed)
                rows[0, :count] = committed
            possible |= {"committed": rows, "committed_steps": np.array([count])}
        if spec.noise:
            possible["noise"] = self._noise.standard_normal((1, *spec.noise), np.float32)
        possible |= self._carried.inputs(frame.stamp)
        return {name: possible[name] for name in self._reads}

    def _begin_anew(self) -> None:
        """The clock was set back: the instruction in force is given anew, under its id."""
        text = self.text
        self.reset()
        self._memory.instruct(text, self._sentence or _no_sentence(self.session.spec))

    def update(self, frame: Frame, outputs: dict[str, np.ndarray], committed: int = 0) -> Chunk:
        """The chunk of the graph's answer (B = 1) to `inputs(frame)`, once the execution state is updated by it.

        `committed`: how many set-points were given as such.
        """
        actions, estimate = outputs["actions"][0], None
        self._carried.update(frame.stamp, outputs)
        if self.session.spec.switches:
            state = np.asarray(frame.state, np.float32)
            estimate, actions = self._memory.update(frame.stamp, state, outputs["execution_estimate"][0], actions)
            if self.finished:  # a position rests where it is, a velocity at 0
                actions = np.where(np.isin(self.session.spec.action, self.session.spec.velocities), 0, actions)
        return Chunk(frame.stamp, self.session.spec.dt_ns, actions, self.instruction, estimate, committed)

    def infer(self, frame: Frame) -> Chunk:
        """The chunk that answers this frame under the instruction in force; errors as in `inputs`."""
        return self.update(frame, self.session.run(self.inputs(frame)))


def _no_sentence(spec: Spec) -> Sentence:
    """What stands for the sentence where an instruction has none; the graph reads that it is absent."""
    zeros = np.zeros((spec.tokens, spec.text), np.float32)
    return Sentence("", zeros[0], zeros, np.zeros(spec.tokens, bool))
