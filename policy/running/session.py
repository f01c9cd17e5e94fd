"""An exported policy under ONNX Runtime: loaded, checked, warm, and shared; it remembers no robot.

Session   graph, provider, text encoder        one for any number of robots
Tracker   instruction, contact, mode, done     one for each robot (policy/running/tracker.py)
"""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import onnxruntime as ort

from policy.errors import InputError, unknown
from policy.robot.contract import Contract
from policy.robot.contract import load as load_contract
from policy.running.clauses import steps
from policy.running.known_instructions import KnownInstructions
from policy.running.models import find_model
from policy.running.text import Sentence, Text
from policy.spec import Frame, Spec, Tensor

PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
ONNX_TYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32", "tensor(bool)": "bool", "tensor(int64)": "int64"}
SENTENCES = 256  # that are kept as they were read
EXPORT_AGAIN = "export it again with `python -m policy.export <run> --out <folder>`"


class Session:
    """A model folder (policy.onnx, spec.json, contract.yaml), loaded, checked and warm.

    `model` is a folder, or the name of a shipped model. `provider` "auto" takes the first of TensorRT, CUDA and
    CPU that this machine can run; the attribute `provider` says which it is. Raises `InputError` for a folder
    that cannot be run. It may be used from several threads.
    """

    def __init__(self, model: str | Path, threads: int = 2, provider: str = "auto") -> None:
        folder = find_model(model)
        self.spec = Spec.load(folder / "spec.json")
        self.contract: Contract = load_contract(folder / "contract.yaml")
        check_robot(self.contract.spec, self.spec, f"{folder}: contract.yaml does not fit spec.json", EXPORT_AGAIN)
        self._graph = _open(folder / "policy.onnx", threads, provider)
        self.provider = next(k for k, v in PROVIDERS.items() if v == self._graph.get_providers()[0])
        _check_graph(self._graph, self.spec, folder)
        self._outputs = list(self.spec.outputs())
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
        that it was taught, or forbids something; a plain policy cannot know.
        """
        sentence = self._sentences.pop(text, None)
        if sentence is None:
            sentence = self._text.read(text)
            while len(self._sentences) >= SENTENCES:
                self._sentences.popitem(last=False)
        self._sentences[text] = sentence
        return sentence if self._known is None else self._known.read(sentence)

    def steps(self, text: str) -> tuple[Sentence, ...]:
        """The instructions that a text names, in their order; errors as in `embed`."""
        return steps(text, self.embed)

    def observation(self, frame: Frame) -> dict[str, np.ndarray]:
        """A frame as graph inputs, B = 1; `InputError` where it does not fit the spec."""
        feed = {}
        for name, (h, w) in self.spec.cameras.items():
            if f"image_{name}" not in self.spec.reads:
                continue
            image = frame.images.get(name)
            if image is None or image.shape != (h, w, 3) or image.dtype != np.uint8:
                got = "none" if image is None else f"{image.dtype} {image.shape}"
                raise InputError(
                    f"camera {name!r}: got {got}, expected uint8 {(h, w, 3)} RGB; "
                    "check the camera's topic, size and encoding in the contract"
                )
            feed[f"image_{name}"] = image[None]
        state = np.asarray(frame.state, np.float32)
        if state.shape != (len(self.spec.state),) or not np.isfinite(state).all():
            raise InputError(
                f"state: got {state.tolist()}, expected {len(self.spec.state)} finite numbers "
                f"({', '.join(self.spec.state)}); check the joint topic in the contract"
            )
        feed["state"] = state[None]
        return feed

    def run(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Inputs by name, each with batch B -> outputs by name, as `Spec.inputs` and `Spec.outputs` describe them."""
        return dict(zip(self._outputs, self._graph.run(self._outputs, feed), strict=True))

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


def _open(path: Path, threads: int, provider: str) -> ort.InferenceSession:
    """Open the graph on the provider asked for; "auto" walks down to the CPU."""
    if provider != "auto" and provider not in PROVIDERS:
        raise unknown("provider", provider, ["auto", *PROVIDERS])
    if not path.is_file():
        raise InputError(
            f"no graph at {path}: a model folder holds policy.onnx, spec.json and contract.yaml; {EXPORT_AGAIN}"
        )
    here = ort.get_available_providers()
    wanted = [name for key, name in PROVIDERS.items() if provider in ("auto", key) and name in here]
    if not wanted:
        raise InputError(
            f"provider {provider!r} is not in the installed ONNX Runtime (it has "
            f'{", ".join(here)}); take "auto", or install the extra `gpu` in place of `cpu`'
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning makes an inference a fifth faster; between two of them threads sleep, as a robot shares its cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 4  # the attribute `provider` reports one that cannot start
    try:
        session = ort.InferenceSession(str(path), options, providers=wanted)
    except Exception as error:  # ONNX Runtime raises many unrelated types for a file it cannot read
        raise InputError(
            f"{path} cannot be loaded by ONNX Runtime ({str(error).splitlines()[0][:200]}); "
            f"the file may be truncated: {EXPORT_AGAIN}"
        ) from None
    if provider != "auto" and session.get_providers()[0] != PROVIDERS[provider]:
        raise InputError(
            f"provider {provider!r} did not start on this machine (driver or device missing); "
            'take "auto" to fall back to the CPU'
        )
    return session


def _check_graph(graph: ort.InferenceSession, spec: Spec, folder: Path) -> None:
    """Hold the graph's inputs and outputs against the spec, whatever the batch."""
    for kind, nodes, expected in (
        ("input", graph.get_inputs(), spec.inputs()),
        ("output", graph.get_outputs(), spec.outputs()),
    ):
        found = {n.name: (ONNX_TYPES.get(n.type, n.type), tuple(n.shape[1:])) for n in nodes}
        if found != expected:
            wrong = sorted(n for n in {*found, *expected} if found.get(n) != expected.get(n))
            what = "; ".join(
                f"{kind} {n}: graph has {_describe(found.get(n))}, spec says {_describe(expected.get(n))}"
                for n in wrong
            )
            raise InputError(f"{folder}: spec.json does not fit policy.onnx ({what}); {EXPORT_AGAIN}")


def _describe(tensor: Tensor | None) -> str:
    return f"{tensor[0]} (B, {', '.join(map(str, tensor[1]))})" if tensor else "none"
