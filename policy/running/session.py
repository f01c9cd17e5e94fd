"""An exported policy under ONNX Session: frame in, chunk out. The same object serves robot and simulator."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
from safetensors import SafetensorError
from safetensors.numpy import load_file

from policy.errors import InputError, unknown
from policy.robot.contract import Contract
from policy.robot.contract import load as load_contract
from policy.running.text import Text
from policy.running.tracker import Execution
from policy.spec import MODES, Chunk, Frame, Spec

PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
Node = tuple[str, list[int]]  # dtype and shape less the batch
ONNX_TYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}
KNOWN = 0.53  # cosine with the nearest sentence that was taught, below which an instruction is unknown
EXPORT_AGAIN = "export it again with `python -m policy.export <run> --out <folder>`"


class Session:
    """A model folder (policy.onnx, spec.json, contract.yaml), loaded, checked and warm.

    `provider` "auto" takes the first of TensorRT, CUDA and CPU that this machine can run; the attribute
    `provider` says which it is. Raises `InputError` for a folder that cannot be run.
    """

    def __init__(self, model_dir: str | Path, threads: int = 2, provider: str = "auto") -> None:
        folder = Path(model_dir)
        if not folder.is_dir():
            raise InputError(
                f"no model folder at {folder}: expected policy.onnx, spec.json and contract.yaml; {EXPORT_AGAIN}"
            )
        self.spec = Spec.load(folder / "spec.json")
        self.contract: Contract = load_contract(folder / "contract.yaml")
        _check_contract(self.contract.spec, self.spec, folder)
        self._session = _session(folder / "policy.onnx", threads, provider)
        self.provider = next(k for k, v in PROVIDERS.items() if v == self._session.get_providers()[0])
        _check_graph(self._session, self.spec, folder)
        self._taught = _taught(folder, self.spec) if self.spec.switches else None  # (N, D)
        self._text = Text()
        self._embeddings: dict[str, np.ndarray] = {}
        self._execution = Execution()
        self.instruction = 0  # id of the newest instruction; 0 before the first
        self._warm_up()

    @property
    def text(self) -> str:
        """The instruction in force, "" if none."""
        return self._execution.text

    @property
    def unfinished(self) -> str:
        """What "continue" would take up again, "" if nothing."""
        return self._execution.unfinished

    @property
    def finished(self) -> bool:
        """Whether the instruction in force is done; only a switching policy can tell."""
        return self._execution.finished

    @property
    def touching(self) -> bool:
        """Whether the hand holds or touches something, as a switching policy told last, with hysteresis."""
        return self._execution.touching

    def instruct(self, text: str) -> int:
        """Take a new instruction and return its id; the sentence is embedded here, never per frame.

        "continue" takes the unfinished one up again. Raises `InputError` for an empty sentence and where
        nothing is unfinished: the instruction in force stays; and, with a switching policy, for a sentence
        unlike all that it was taught: then none is in force any more.
        """
        book = self._execution
        text = book.meant(text)
        if text not in self._embeddings:
            self._embeddings[text] = self._text.embed([text])[0]
        embedding = self._embeddings[text]
        self.instruction += 1
        nearest = 1.0 if self._taught is None else float((self._taught @ embedding).max())
        if nearest < KNOWN:
            book.withdraw()
            raise InputError(
                f"unknown instruction {text[:80]!r}: nearest of what was taught is a sentence "
                f"with likeness {nearest:.2f}, expected {KNOWN} or more; use other words, or "
                "teach it"
            )
        book.instruct(text, embedding)
        return self.instruction

    def meant(self, text: str) -> str:
        """The sentence itself; for "continue" the unfinished one, `InputError` if there is none."""
        return self._execution.meant(text)

    def reset(self) -> None:
        """Forget the instruction and all about its execution; ids go on. Other threads may call it too."""
        self._execution = Execution()

    def infer(self, frame: Frame) -> Chunk:
        """The chunk that answers this frame under the instruction in force.

        Raises `InputError` for a frame that does not fit the spec (image size or type, NaN or missing
        joint) and where no instruction is in force.
        """
        book = self._execution
        if not book.text:
            raise InputError("no instruction is in force; call `instruct` (or publish one) first")
        feed = {"instruction": self._embeddings[book.text][None], **_tensors(frame, self.spec)}
        if not self.spec.switches:
            actions = self._session.run(["actions"], feed)[0][0]
            return Chunk(frame.stamp, self.spec.dt_ns, actions, self.instruction)
        feed |= book.inputs(feed["state"][0])
        actions, told = self._session.run(["actions", "execution_estimate"], feed)
        said, kept = book.enter(feed["state"][0], told[0], actions[0])
        return Chunk(frame.stamp, self.spec.dt_ns, kept, self.instruction, said)

    def _warm_up(self) -> None:
        """Two runs: allocations and kernel choices happen here and not in the first control step."""
        inputs, outputs = _nodes(self.spec)
        feed = {name: np.zeros((1, *shape), kind) for name, (kind, shape) in inputs.items()}
        for _ in range(2):
            self._session.run(list(outputs), feed)
        self._text.embed(["be ready"])


def _session(path: Path, threads: int, provider: str) -> ort.InferenceSession:
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
            f"provider {provider!r} is not in the installed ONNX Session (it has "
            f'{", ".join(here)}); take "auto", or install the extra `gpu` in place of `cpu`'
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning makes an inference a fifth faster; between two of them threads sleep, as a robot shares its cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 4  # a provider that cannot start is told by `provider`, not by its log
    try:
        session = ort.InferenceSession(str(path), options, providers=wanted)
    except Exception as error:  # ONNX Session raises many unrelated types for a file it cannot read
        raise InputError(
            f"{path} cannot be loaded by ONNX Session ({str(error).splitlines()[0][:200]}); "
            f"the file may be truncated: {EXPORT_AGAIN}"
        ) from None
    if provider != "auto" and session.get_providers()[0] != PROVIDERS[provider]:
        raise InputError(
            f"provider {provider!r} did not start on this machine (driver or device missing); "
            'take "auto" to fall back to the CPU'
        )
    return session


def _check_contract(robot: Spec, spec: Spec, folder: Path) -> None:
    """The robot of the contract must give what the policy takes; the horizon is the policy's own."""
    for key in ("cameras", "state", "action", "rate"):
        if getattr(robot, key) != getattr(spec, key):
            raise InputError(
                f"{folder}: contract.yaml does not fit spec.json ({key}: {getattr(robot, key)} "
                f"there, {getattr(spec, key)} in the spec); {EXPORT_AGAIN}"
            )


def _nodes(spec: Spec) -> tuple[dict[str, Node], dict[str, Node]]:
    """Inputs and outputs of a graph, without their batch size."""
    states, text = [len(spec.state)], [spec.text]
    inputs: dict[str, Node] = {f"image_{name}": ("uint8", [h, w, 3]) for name, (h, w) in spec.cameras.items()}
    inputs |= {"state": ("float32", states), "instruction": ("float32", text)}
    outputs: dict[str, Node] = {"actions": ("float32", [spec.horizon, len(spec.action)])}
    if spec.switches:
        inputs |= {
            "previous_instruction": ("float32", text),
            "contact": ("float32", [1]),
            "contact_origin": ("float32", states),
        }
        outputs["execution_estimate"] = ("float32", [2 + len(MODES)])
    return inputs, outputs


def _taught(folder: Path, spec: Spec) -> np.ndarray:
    """Embeddings (N, D) of the sentences that a switching policy was taught."""
    path = folder / "instructions.safetensors"
    try:
        taught = load_file(path)["instructions"]
    except (OSError, SafetensorError, KeyError) as error:
        raise InputError(
            f"{path} cannot be read ({type(error).__name__}); the folder of a switching policy "
            f"holds the embeddings of the sentences it was taught: {EXPORT_AGAIN}"
        ) from None
    if taught.ndim != 2 or not len(taught) or taught.shape[1] != spec.text or taught.dtype != np.float32:
        raise InputError(
            f"{path}: got {taught.dtype} {taught.shape}, expected float32 (N, {spec.text}) with N > 0; {EXPORT_AGAIN}"
        )
    return taught


def _check_graph(session: ort.InferenceSession, spec: Spec, folder: Path) -> None:
    """Hold the graph's inputs and outputs against the spec; -1 stands for any batch."""
    inputs, outputs = _nodes(spec)
    for kind, nodes, expected in (("input", session.get_inputs(), inputs), ("output", session.get_outputs(), outputs)):
        found = {n.name: (ONNX_TYPES.get(n.type, n.type), list(n.shape[1:])) for n in nodes}
        if found != expected:
            wrong = sorted(n for n in {*found, *expected} if found.get(n) != expected.get(n))
            what = "; ".join(
                f"{kind} {n}: graph has {_say(found.get(n))}, spec says {_say(expected.get(n))}" for n in wrong
            )
            raise InputError(f"{folder}: spec.json does not fit policy.onnx ({what}); {EXPORT_AGAIN}")


def _say(entry: Node | None) -> str:
    return f"{entry[0]} (B, {', '.join(map(str, entry[1]))})" if entry else "none"


def _tensors(frame: Frame, spec: Spec) -> dict[str, np.ndarray]:
    """The frame as graph inputs with B = 1, checked."""
    feed = {}
    for name, (h, w) in spec.cameras.items():
        image = frame.images.get(name)
        if image is None or image.shape != (h, w, 3) or image.dtype != np.uint8:
            got = "none" if image is None else f"{image.dtype} {image.shape}"
            raise InputError(
                f"camera {name!r}: got {got}, expected uint8 {(h, w, 3)} RGB; "
                "check the camera's topic, size and encoding in the contract"
            )
        feed[f"image_{name}"] = image[None]
    state = np.asarray(frame.state, np.float32)
    if state.shape != (len(spec.state),) or not np.isfinite(state).all():
        raise InputError(
            f"state: got {state.tolist()}, expected {len(spec.state)} finite numbers "
            f"({', '.join(spec.state)}); check the joint topic in the contract"
        )
    feed["state"] = state[None]
    return feed
