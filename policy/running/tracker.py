"""What has become of the instruction in force: the book that the session keeps for a switching policy.

The policy decides; the book only remembers what one frame cannot show and hands it back with the next:

    previous   whose doing the present contact is, or what was superseded just now
    contact    the policy's own last estimate
    origin     the state in which that contact began

        instruct(A)   contact on        instruct(B)    contact off   1  2  3 forward    done 1  2  3
    previous  A ----------- A -------------- A -------------- A --------- B ----------------- B
    origin    now           here             here             now         now                 now, held

Pure numpy; `Session` calls it from one thread.
"""

import numpy as np

from policy.errors import InputError
from policy.robot.instructions import continues
from policy.spec import MODES, ExecutionEstimate

ON, OFF = 0.6, 0.4  # chance of contact from which it is taken as on, and as off
SURE = 3  # inferences in a row until a previous instruction is let go, and until one is done


class Execution:
    """The instruction in force, the one before it, the contact and whether it is done.

    D width of the instruction embedding, S state, A action, H horizon, as in policy/spec.py.
    """

    def __init__(self) -> None:
        self.text = ""  # instruction in force; "" if none
        self.unfinished = ""  # the one that was superseded before it was done; "" if none
        self.touching = False  # contact, with hysteresis
        self._contact = 0.0  # the newest estimate
        self._mode = MODES[0]  # the newest one
        self._current = np.empty(0)  # (D,) of the newest known instruction; empty before the first
        self._previous = np.empty(0)  # (D,)
        self._acting = np.empty(0)  # (D,) that of the newest chunk: what the arm is doing
        self._owner = np.empty(0)  # (D,) the instruction under which the contact began
        self._origin = np.empty(0)  # (S,) the state in which it began
        self._rest: np.ndarray | None = None  # (A,) the set-point at which a finished instruction rests
        self._free = self._done = 0  # inferences in a row, of nothing left to undo and of done

    @property
    def finished(self) -> bool:
        """Whether the instruction in force is done."""
        return self._rest is not None

    def meant(self, text: str) -> str:
        """The sentence itself; for "continue" the unfinished one, `InputError` if there is none."""
        if not continues(text):
            return text
        if not self.unfinished:
            raise InputError(f"got {text.strip()!r}, but no instruction was left unfinished; say what to do")
        return self.unfinished

    def instruct(self, text: str, embedding: np.ndarray) -> None:
        """A new instruction is in force; `embedding` (D,)."""
        self._supersede(text)
        superseded = self._current if self._current.size else embedding
        undoing_it = self._mode == "rollback" and np.array_equal(self._previous, embedding)
        self._previous = self._owner if self.touching else embedding if undoing_it else superseded
        self.text, self._current = text, embedding

    def withdraw(self) -> None:
        """No instruction is in force any more; the next one is told of the last."""
        self._supersede("")
        self.text = ""

    def inputs(self, state: np.ndarray) -> dict[str, np.ndarray]:
        """What the policy reads beside the frame, state (S,), and the instruction.

        previous (1, D), contact (1, 1), origin (1, S).
        """
        origin = self._origin if self.touching else state
        return {
            "previous_instruction": self._previous[None],
            "contact": np.array([[self._contact]], np.float32),
            "contact_origin": np.asarray(origin, np.float32)[None],
        }

    def enter(self, state: np.ndarray, told: np.ndarray, actions: np.ndarray) -> tuple[ExecutionEstimate, np.ndarray]:
        """Book the answer to a frame: state (S,), told (5,), actions (H, A) -> what it tells, actions (H, A).

        Once the instruction is done the actions are one set-point, repeated.
        """
        self._contact, done, self._mode = float(told[0]), float(told[1]), MODES[int(np.argmax(told[2:]))]
        self._feel(state)
        self._let_go()
        self._finish(done, actions[0])
        self._acting = self._current
        if self._rest is not None:
            actions = np.tile(self._rest, (len(actions), 1))
        return ExecutionEstimate(self._contact, self._mode, done), actions

    def _supersede(self, text: str) -> None:
        if self.text and self.text != text and not self.finished:
            self.unfinished = self.text
        elif self.unfinished == text:
            self.unfinished = ""
        self._rest, self._free, self._done = None, 0, 0

    def _feel(self, state: np.ndarray) -> None:
        """Contact with hysteresis; an onset belongs to the instruction that brought the arm to this frame."""
        before, self.touching = self.touching, self._contact > OFF if self.touching else self._contact >= ON
        if self.touching and not before:
            self._owner = self._previous = self._acting if self._acting.size else self._current
            self._origin = np.array(state, np.float32)

    def _let_go(self) -> None:
        """Nothing of the previous instruction is left to undo."""
        self._free = self._free + 1 if not self.touching and self._mode == MODES[0] else 0
        if self._free >= SURE:
            self._previous = self._current

    def _finish(self, done: float, action: np.ndarray) -> None:
        self._done = self._done + 1 if done > 0.5 else 0
        if self._rest is None and self._done >= SURE:
            self._rest = action.copy()
