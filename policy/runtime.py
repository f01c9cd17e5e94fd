"""An exported policy under ONNX Runtime: frame in, chunk out. The same object serves robot and simulator."""

from pathlib import Path

import numpy as np
import onnxruntime as ort

from policy.contract import Contract
from policy.contract import load as load_contract
from policy.errors import InputError, unknown
from policy.spec import Chunk, Frame, Spec
from policy.text import Text

PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
ONNX_TYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}
EXPORT_AGAIN = "export it again with `python -m policy.export <run> --out <folder>`"


class Runtime:
    """A model folder (policy.onnx, spec.json, contract.yaml), loaded, checked and warm.

    `provider` "auto" takes the first of TensorRT, CUDA and CPU that this machine can run; the attribute
    `provider` says which it is. Raises `InputError` for a folder that cannot be run.
    """

    def __init__(self, model_dir: str | Path, threads: int = 2, provider: str = "auto") -> None:
        folder = Path(model_dir)
        if not folder.is_dir():
            raise InputError(f"no model folder at {folder}: expected policy.onnx, spec.json and "
                             f"contract.yaml; {EXPORT_AGAIN}")
        self.spec = Spec.load(folder / "spec.json")
        self.contract: Contract = load_contract(folder / "contract.yaml")
        _check_contract(self.contract.spec, self.spec, folder)
        self._session = _session(folder / "policy.onnx", threads, provider)
        self.provider = next(k for k, v in PROVIDERS.items() if v == self._session.get_providers()[0])
        _check_graph(self._session, self.spec, folder)
        self._text: Text | None = None
        self._embeddings: dict[str, np.ndarray] = {}
        self._embedding: np.ndarray | None = None
        self.instruction = 0   # id of the instruction in force; 0 before the first
        self._warm_up()

    def instruct(self, text: str) -> int:
        """Take a new instruction and return its id; the sentence is embedded here, never per frame.

        Raises `InputError` for an empty sentence.
        """
        if text not in self._embeddings:
            self._text = self._text or Text()
            self._embeddings[text] = self._text.embed([text])
        self._embedding = self._embeddings[text]
        self.instruction += 1
        return self.instruction

    def infer(self, frame: Frame) -> Chunk:
        """The chunk that answers this frame under the instruction in force.

        Raises `InputError` for a frame that does not fit the spec (image size or type, NaN or missing
        joint) and before the first `instruct`.
        """
        if self._embedding is None:
            raise InputError("no instruction was given; call `instruct` (or publish one) first")
        feed = {"instruction": self._embedding, **_tensors(frame, self.spec)}
        actions = self._session.run(["actions"], feed)[0][0]
        return Chunk(frame.stamp, self.spec.dt_ns, actions, self.instruction)

    def _warm_up(self) -> None:
        """Two runs: allocations and kernel choices happen here and not in the first control step."""
        feed: dict[str, np.ndarray] = {
            f"image_{name}": np.zeros((1, h, w, 3), np.uint8) for name, (h, w) in self.spec.cameras.items()}
        feed["state"] = np.zeros((1, len(self.spec.state)), np.float32)
        feed["instruction"] = np.zeros((1, self.spec.text), np.float32)
        for _ in range(2):
            self._session.run(["actions"], feed)


def _session(path: Path, threads: int, provider: str) -> ort.InferenceSession:
    """Open the graph on the provider asked for; "auto" walks down to the CPU."""
    if provider != "auto" and provider not in PROVIDERS:
        raise unknown("provider", provider, ["auto", *PROVIDERS])
    if not path.is_file():
        raise InputError(f"no graph at {path}: a model folder holds policy.onnx, spec.json and "
                         f"contract.yaml; {EXPORT_AGAIN}")
    here = ort.get_available_providers()
    wanted = [name for key, name in PROVIDERS.items() if provider in ("auto", key) and name in here]
    if not wanted:
        raise InputError(f"provider {provider!r} is not in the installed ONNX Runtime (it has "
                         f"{', '.join(here)}); take \"auto\", or install the extra `gpu` in place of `cpu`")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning makes an inference a fifth faster; between two of them threads sleep, as a robot shares its cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 4  # a provider that cannot start is told by `provider`, not by its log
    try:
        session = ort.InferenceSession(str(path), options, providers=wanted)
    except Exception as error:  # ONNX Runtime raises many unrelated types for a file it cannot read
        raise InputError(f"{path} cannot be loaded by ONNX Runtime ({str(error).splitlines()[0][:200]}); "
                         f"the file may be truncated: {EXPORT_AGAIN}") from None
    if provider != "auto" and session.get_providers()[0] != PROVIDERS[provider]:
        raise InputError(f"provider {provider!r} did not start on this machine (driver or device missing); "
                         "take \"auto\" to fall back to the CPU")
    return session


def _check_contract(robot: Spec, spec: Spec, folder: Path) -> None:
    """The robot of the contract must give what the policy takes; the horizon is the policy's own."""
    for key in ("cameras", "state", "action", "rate"):
        if getattr(robot, key) != getattr(spec, key):
            raise InputError(f"{folder}: contract.yaml does not fit spec.json ({key}: {getattr(robot, key)} "
                             f"there, {getattr(spec, key)} in the spec); {EXPORT_AGAIN}")


def _check_graph(session: ort.InferenceSession, spec: Spec, folder: Path) -> None:
    """Hold the graph's inputs and outputs against the spec; -1 stands for any batch."""
    inputs = {f"image_{name}": ("uint8", [h, w, 3]) for name, (h, w) in spec.cameras.items()}
    inputs |= {"state": ("float32", [len(spec.state)]), "instruction": ("float32", [spec.text])}
    outputs = {"actions": ("float32", [spec.horizon, len(spec.action)])}
    for kind, nodes, expected in (("input", session.get_inputs(), inputs),
                                  ("output", session.get_outputs(), outputs)):
        found = {n.name: (ONNX_TYPES.get(n.type, n.type), list(n.shape[1:])) for n in nodes}
        if found != expected:
            wrong = sorted(n for n in {*found, *expected} if found.get(n) != expected.get(n))
            what = "; ".join(f"{kind} {n}: graph has {_say(found.get(n))}, spec says {_say(expected.get(n))}"
                             for n in wrong)
            raise InputError(f"{folder}: spec.json does not fit policy.onnx ({what}); {EXPORT_AGAIN}")


def _say(entry: tuple[str, list[int]] | None) -> str:
    return f"{entry[0]} (B, {', '.join(map(str, entry[1]))})" if entry else "none"


def _tensors(frame: Frame, spec: Spec) -> dict[str, np.ndarray]:
    """The frame as graph inputs with B = 1, checked."""
    feed = {}
    for name, (h, w) in spec.cameras.items():
        image = frame.images.get(name)
        if image is None or image.shape != (h, w, 3) or image.dtype != np.uint8:
            got = "none" if image is None else f"{image.dtype} {image.shape}"
            raise InputError(f"camera {name!r}: got {got}, expected uint8 {(h, w, 3)} RGB; "
                             "check the camera's topic, size and encoding in the contract")
        feed[f"image_{name}"] = image[None]
    state = np.asarray(frame.state, np.float32)
    if state.shape != (len(spec.state),) or not np.isfinite(state).all():
        raise InputError(f"state: got {state.tolist()}, expected {len(spec.state)} finite numbers "
                         f"({', '.join(spec.state)}); check the joint topic in the contract")
    feed["state"] = state[None]
    return feed
