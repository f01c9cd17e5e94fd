"""An exported policy under ONNX Runtime: loaded, checked, warm, and shared; it remembers no robot.

Session   graph, provider, text encoder        one for any number of robots
Tracker   instruction, contact, mode, done     one for each robot (policy/running/tracker.py)
"""

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from policy.errors import InputError
from policy.robot.contract import Contract
from policy.robot.contract import load as load_contract
from policy.running.arrived import described, is_whole, numbers
from policy.running.batching import Batching
from policy.running.clauses import steps
from policy.running.known_instructions import KnownInstructions
from policy.running.load_graph import EXPORT_AGAIN, load_graph
from policy.running.models import find_model
from policy.running.questions import asks_or_supposes
from policy.running.reference import Parity
from policy.running.text import Sentence, Text, clean
from policy.spec import Frame, Spec

SENTENCES = 256  # that are kept as they were read
SHOWN = 64  # numbers of a state, at most, in a message


class Session:
    """A model folder (policy.onnx, spec.json, contract.yaml), loaded, checked and warm.

    `model` is a folder, or the name of a shipped model. `provider` "auto" takes CUDA where it is, else the CPU. One
    that cannot start, or whose answers to the frames that are saved with the model differ too far, falls back to the
    next (policy.running.load_graph) with a warning; the attribute `provider` says which it is, and `parity` how far its
    answers are, None where the CPU runs a model without saved frames. Raises `InputError` for a folder that cannot be
    run. It may be used from several threads; those of several robots (`robot`) share their runs.
    """

    def __init__(self, model: str | Path, threads: int = 2, provider: str = "auto") -> None:
        folder = find_model(model)
        self.spec = Spec.load(folder / "spec.json")
        self.contract: Contract = load_contract(folder / "contract.yaml")
        check_robot(self.contract.spec, self.spec, f"{folder}: contract.yaml does not fit spec.json", EXPORT_AGAIN)
        self.provider: str
        self.parity: Parity | None
        self._graph, self.provider, self.parity = load_graph(folder, self.spec, threads, provider)
        self.batching = Batching(self._graph.run)
        self._known = (
            KnownInstructions(folder, self.spec.text, self.spec.runtime.likeness) if self.spec.switches else None
        )
        self._text = Text()
        self._sentences: OrderedDict[str, Sentence] = OrderedDict()
        self._warm_up()

    @property
    def tasks(self) -> list[str]:
        """What the policy was taught, by name; none where it does not know."""
        return [] if self._known is None else self._known.tasks

    @property
    def taught(self) -> list[tuple[str, str]]:
        """Task and sentence of all that the policy was taught; none where it does not know."""
        return [] if self._known is None else self._known.taught

    def embed(self, text: str) -> Sentence:
        """An instruction as the encoder reads it; about 20 ms for a new sentence, nothing for a recent one.

        Raises `InputError` for an empty sentence, a long one, and, with a switching policy, for one that names no task
        that it was taught, forbids something, asks or supposes; a plain policy cannot know.
        """
        self._check_is_asked_for(text)
        sentence = self._sentences.pop(text, None)
        if sentence is None:
            sentence = self._text.read(text)
            while len(self._sentences) >= SENTENCES:
                self._sentences.popitem(last=False)
        self._sentences[text] = sentence
        return sentence if self._known is None else self._known.read(sentence)

    def _taught_as_one(self, text: str) -> bool:
        """Whether a text is a taught sentence."""
        return self._known is not None and self._known.taught_as_one(text)

    def _check_is_asked_for(self, text: str) -> None:
        """`InputError` for a question or a condition, unless it was taught; a plain policy cannot know."""
        if self._known is not None and not self._known.taught_as_one(text) and (why := asks_or_supposes(text)):
            raise InputError(f"the instruction {text[:80]!r} {why}; nothing is done: say what is to be done now")

    def forget(self) -> None:
        """A robot begins anew: nothing is remembered here; what a served policy remembers is (`RemoteSession`)."""

    def steps(self, text: str) -> tuple[Sentence, ...]:
        """The instructions that a text names, in their order; questions and conditions are errors, too."""
        text = clean(text)
        if self._taught_as_one(text):
            return (self.embed(text),)
        self._check_is_asked_for(text)
        return steps(text, self.embed, self._taught_as_one)

    def observation(self, frame: Frame) -> dict[str, np.ndarray]:
        """A frame as graph inputs, B = 1; `InputError` where it does not fit the spec."""
        if not is_whole(frame.stamp):
            raise InputError(
                f"stamp: got {described(frame.stamp)}, expected the time of the frame in ns, a whole number"
            )
        if not isinstance(frame.images, Mapping):
            cameras = ", ".join(self.spec.cameras)
            raise InputError(f"images: got {described(frame.images)}, expected one of each camera, by name ({cameras})")
        feed = {}
        for name in self.spec.cameras:
            if f"image_{name}" not in self.spec.reads:
                continue
            image, (dtype, shape) = frame.images.get(name), self.spec.picture(name)
            if not isinstance(image, np.ndarray) or image.shape != shape or image.dtype != dtype:
                what = "of distances [m]" if name in self.spec.depth else "RGB"
                raise InputError(f"camera {name!r}: got {described(image)}, expected {dtype} {shape} {what}")
            feed[f"image_{name}"] = image[None]
        state = numbers(frame.state)
        if state is None or state.shape != (len(self.spec.state),):
            given = frame.state
            got = given.tolist() if isinstance(given, np.ndarray) and given.size <= SHOWN else described(given)
            raise InputError(
                f"state: got {got}, expected {len(self.spec.state)} finite numbers ({', '.join(self.spec.state)})"
            )
        feed["state"] = state[None]
        return feed

    def run(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Inputs by name, each with batch B -> outputs by name, as `Spec.inputs` and `Spec.outputs` describe them.

        On a GPU `state_<name>_next` stays there: it is handed back as it is.
        """
        return self.batching.run(feed) if self.batching.robots > 1 else self._graph.run(feed)

    def robot(self) -> AbstractContextManager[None]:
        """While it lasts, one robot more shares the runs of the graph with the others; each in a thread of its own."""
        return self.batching.robot()

    def close(self) -> None:
        """Let go of what it holds beside memory: nothing, where the graph is loaded here."""

    def _warm_up(self) -> None:
        """Two runs: allocations and kernel choices happen here and not in the first control step."""
        for _ in range(2):
            self.run({name: np.zeros((1, *shape), kind) for name, (kind, shape) in self.spec.inputs().items()})
        self._text.read("be ready")


def check_robot(robot: Spec, policy: Spec, what: str, advice: str) -> None:
    """`InputError` unless the robot gives what the policy takes; the horizon is the policy's own."""
    for key in ("cameras", "state", "action", "rate"):
        if getattr(robot, key) != getattr(policy, key):
            raise InputError(
                f"{what} ({key}: the contract has {getattr(robot, key)}, the policy {getattr(policy, key)}); {advice}"
            )
