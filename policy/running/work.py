"""What is slow about a control loop, and done outside any lock: to read an instruction, to infer from a frame."""

from dataclasses import dataclass

import numpy as np

from policy.running.conditions import NO_CONDITIONS, Conditions
from policy.running.session import Session
from policy.running.text import Sentence
from policy.spec import Frame


@dataclass(slots=True)
class Embedding:
    """Work: the encoder reads an instruction, which may name several tasks."""

    session: Session
    text: str
    at: int  # ns, when the instruction came
    resumes: bool = False  # it was under way before: what was to follow still does
    conditions: Conditions = NO_CONDITIONS
    steps: tuple[Sentence | None, ...] = ()  # the tasks in their order; None is one without a sentence

    def run(self) -> None:
        """About 20 ms."""
        self.steps = self.session.steps(self.text) if self.text else (None,)


@dataclass(slots=True)
class Inference:
    """Work: a frame becomes a chunk."""

    session: Session
    frame: Frame
    feed: dict[str, np.ndarray]
    instruction: int
    committed: int  # set-points that were given as such
    due: bool  # its chunk is; else only the policy's memory wants the frame
    faults: int = 0  # that there had been when it began
    outputs: dict[str, np.ndarray] | None = None

    def run(self) -> None:
        """One run of the graph."""
        self.outputs = self.session.run(self.feed)


Work = Embedding | Inference
