"""Which provider serves, what is named where one cannot, and the frames that each has to pass."""

import ctypes
import logging
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from policy.errors import InputError
from policy.running import providers, reference
from policy.running.graph import Graph
from policy.running.reference import Reference
from policy.running.session import Session
from policy.running.tracker import Tracker
from tests.tiny import frame, write_model

GPU = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_model(tmp_path / "model")
    return tmp_path / "model"


def save_reference(folder: Path, precision: str = "fp32", off: float = 0.0) -> None:
    """What the model answers to two frames, its actions off by a share of their range."""
    tracker = Tracker(Session(folder))
    tracker.instruct("open the drawer")
    feeds = [tracker.inputs(frame(tracker.session.spec, brightness)) for brightness in (40, 200)]
    inputs = {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
    outputs = tracker.session.run(inputs)
    action_range = np.full(len(tracker.session.spec.action), 0.5)
    Reference(inputs, outputs | {"actions": outputs["actions"] + 0.5 * np.float32(off)}, action_range, precision).save(
        folder
    )


def test_what_is_asked_for_and_not_installed_is_named_and_the_cpu_serves(
    model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InputError, match="did you mean 'cuda'"):
        Session(model, provider="cudda")
    monkeypatch.setattr(ort, "get_available_providers", lambda: GPU[2:])
    assert Session(model).provider == "cpu" and not caplog.records  # nothing was asked for
    assert Session(model, provider="tensorrt").provider == "cpu"
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(messages) == 2  # TensorRT, then CUDA
    for message, name in zip(messages, GPU, strict=False):
        assert f"no {name}" in message and "extra `gpu`" in message


@pytest.mark.parametrize(
    ("driver", "library", "named"),
    [
        (None, None, "driver is not installed"),
        (100, None, "finds no GPU (error 100)"),
        (0, "libcudnn.so.9: cannot open shared object file", "libcudnn.so.9"),
    ],
)
def test_a_missing_driver_device_or_library_is_named(
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    driver: int | None,
    library: str | None,
    named: str,
) -> None:
    def count(number: Any) -> int:
        number._obj.value = 1
        return 0

    def load(name: str, mode: int = 0) -> SimpleNamespace:
        if name == "libcuda.so.1" and driver is None:
            raise OSError(name)
        if name.endswith("_cuda.so") and library:
            raise OSError(library)
        return SimpleNamespace(cuInit=lambda flags: driver, cuDeviceGetCount=count)

    monkeypatch.setattr(ort, "get_available_providers", lambda: GPU)
    monkeypatch.setattr(ctypes, "CDLL", load)
    assert Session(model).provider == "cpu"  # auto: the GPU's package is installed, so CUDA is expected
    assert [named in record.getMessage() for record in caplog.records] == [True]


def pretend(monkeypatch: pytest.MonkeyPatch, graph: Path) -> None:
    """A provider "cuda" that starts, and computes what this graph does."""
    open_graph = providers.open_graph

    class OnCuda:
        def __init__(self, session: ort.InferenceSession) -> None:
            self._session = session

        def __getattr__(self, name: str) -> Any:
            return getattr(self._session, name)

        def get_providers(self) -> list[str]:
            return GPU[1:]

    def opened(path: Path, threads: int, provider: str, precision: str) -> Any:
        return OnCuda(open_graph(graph, 1, "cpu", "")) if provider == "cuda" else open_graph(path, threads, "cpu", "")

    monkeypatch.setattr(providers, "missing", lambda provider: "")
    monkeypatch.setattr(providers, "open_graph", opened)
    monkeypatch.setitem(providers.DEVICES, "cuda", "cpu")


@pytest.mark.parametrize("saved", [True, False])
def test_a_provider_serves_only_if_it_answers_the_frames_as_the_cpu_did(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, saved: bool
) -> None:
    if saved:
        save_reference(model)
    pretend(monkeypatch, model / "policy.onnx")
    session = Session(model, provider="cuda")
    assert session.provider == "cuda" and session.parity is not None
    assert ("2 saved frames" if saved else "as none are saved") in str(session.parity)
    write_model(tmp_path / "other", ramp=0.02)
    pretend(monkeypatch, tmp_path / "other" / "policy.onnx")
    caplog.clear()
    assert Session(model, provider="cuda").provider == "cpu"
    assert "fp32 differs by at most" in caplog.text


def test_a_provider_that_cannot_run_the_graph_is_passed_over(
    model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pretend(monkeypatch, model / "spec.json")
    assert Session(model, provider="cuda").provider == "cpu"
    assert "does not load the graph" in caplog.text


def test_the_cpu_itself_must_answer_as_it_did_when_the_model_was_saved(model: Path) -> None:
    save_reference(model)
    parity = Session(model).parity
    assert parity is not None and parity.largest < 1e-5 and parity.precision == "fp32"
    save_reference(model, off=0.05)
    with pytest.raises(InputError, match=r"fp32 differs by at most 0\.05 .* on 2 saved frames; 0\.001 .* is allowed"):
        Session(model)


def test_of_eight_bits_more_is_allowed_and_a_file_that_is_cut_short_is_refused(model: Path) -> None:
    save_reference(model, "int8", off=0.005)
    assert Session(model).parity is not None
    (model / reference.FILE).write_bytes((model / reference.FILE).read_bytes()[:100])
    with pytest.raises(InputError, match=r"reference\.npz cannot be read"):
        Session(model)


def test_saved_frames_that_are_damaged_or_judge_nothing_are_refused(model: Path) -> None:
    """A bit that a disk has turned is found by zlib, another file under this name by numpy."""
    save_reference(model)
    path = model / reference.FILE
    whole = path.read_bytes()
    with np.load(path) as saved:
        arrays = dict(saved)
    with zipfile.ZipFile(path) as archive:
        begins = archive.getinfo("in_state.npy").header_offset + 30 + len("in_state.npy") + 20
    for byte in range(begins, begins + 40):
        path.write_bytes(whole[:byte] + bytes([whole[byte] ^ 255]) + whole[byte + 1 :])
        with pytest.raises(InputError, match=r"reference\.npz cannot be read"):
            Session(model)
    np.save(model / "alone.npy", arrays["action_range"])
    (model / "alone.npy").rename(path)
    with pytest.raises(InputError, match=r"reference\.npz cannot be read"):
        Session(model)
    unusable: list[dict[str, Any]] = [
        {"action_range": np.float32(1)},
        {"out_actions": np.float32(0)},
        {"precision": "fp8"},
    ]
    unusable += [{"action_range": np.full(len(arrays["action_range"]), bad)} for bad in (np.inf, np.nan, 0.0, "wide")]
    for wrong in [*unusable, {name: value[:0] for name, value in arrays.items() if name.startswith(("in_", "out_"))}]:
        np.savez_compressed(path, **(arrays | wrong))
        with pytest.raises(InputError, match="reference"):
            Session(model)


@pytest.mark.parametrize("wrong", ["actions", "state_keys_next", "nothing"])
@pytest.mark.parametrize("precision", reference.TOLERANCE)
def test_the_output_that_is_farthest_judges_though_memory_is_most_of_the_numbers(wrong: str, precision: str) -> None:
    """Memory of small numbers, of which an error is a share of them."""
    rng = np.random.default_rng(0)
    outputs = {"actions": np.zeros((1, 16, 8)), "state_keys_next": 0.02 * rng.random((1, 2, 7, 256))}
    saved = Reference({"state": np.zeros((1, 9))}, outputs, np.full(8, 2.0), precision)
    off = {"actions": 2.0, "state_keys_next": 0.02, "nothing": 0.0}[wrong] * 3 * reference.TOLERANCE[precision][1]
    parity = saved.compare(lambda _: {name: value + off * (name == wrong) for name, value in outputs.items()})
    assert parity.passed == (wrong == "nothing")


def test_memory_stays_on_the_device_and_other_inputs_are_bound_once(tmp_path: Path) -> None:
    tensor = helper.make_tensor_value_info
    x, h = (tensor(name, TensorProto.FLOAT, ["B", 2]) for name in ("x", "state_h"))
    actions, after = (tensor(name, TensorProto.FLOAT, ["B", 2]) for name in ("actions", "state_h_next"))
    nodes = [
        helper.make_node("Add", ["x", "state_h"], ["actions"]),
        helper.make_node("Add", ["state_h", "one"], ["state_h_next"]),
    ]
    constants = [numpy_helper.from_array(np.float32(1), "one")]
    made = helper.make_model(
        helper.make_graph(nodes, "memory", [x, h], [actions, after], constants),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    onnx.save(made, tmp_path / "graph.onnx")
    session = providers.open_graph(tmp_path / "graph.onnx", 1, "cpu", "fp32")
    graph = Graph(session, ["actions", "state_h_next"], "another device than the host's")
    graph._device = "cpu"  # the device's path, on the only device that is everywhere
    memories: list[Any] = [np.zeros((1, 2), np.float32), np.full((1, 2), 10, np.float32)]
    for step in range(4):
        for robot, start in enumerate((0, 10)):
            value = np.full((1, 2), 0.5 * step, np.float32)
            outputs = graph._run_bound({"x": value, "state_h": memories[robot]})
            np.testing.assert_array_equal(outputs["actions"], value + start + step)
            memories[robot] = outputs["state_h_next"]
            assert isinstance(memories[robot], ort.OrtValue)
    assert len(graph._bound) == 1
    both = graph._run_bound({"x": np.zeros((2, 2), np.float32), "state_h": np.ones((2, 2), np.float32)})
    np.testing.assert_array_equal(both["actions"], np.ones((2, 2)))
