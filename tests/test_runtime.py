from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors.numpy import save_file

from policy.errors import InputError
from policy.running.session import Runtime
from policy.spec import Spec
from tests.tiny import frame, write_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_model(tmp_path / "model")
    return tmp_path / "model"


def test_a_frame_becomes_the_chunk_that_the_graph_computes(model: Path) -> None:
    runtime = Runtime(model)
    number = runtime.instruct("put the red block in the bowl")
    seen = frame(runtime.spec, 51)
    chunk = runtime.infer(seen)
    assert (chunk.stamp, chunk.dt, chunk.instruction) == (7, runtime.spec.dt_ns, number)
    expected = np.tile(seen.state, (runtime.spec.horizon, 1))
    expected[:, 0] += 0.2 * 0.01 * np.arange(1, runtime.spec.horizon + 1)
    np.testing.assert_allclose(chunk.actions, expected, atol=1e-6)
    assert runtime.provider == "cpu"


def test_every_instruction_has_its_own_id_and_an_empty_one_is_refused(model: Path) -> None:
    runtime = Runtime(model)
    with pytest.raises(InputError, match="no instruction"):
        runtime.infer(frame(runtime.spec))
    first, second = runtime.instruct("open the drawer"), runtime.instruct("open the drawer")
    assert first != second
    with pytest.raises(InputError):
        runtime.instruct("  ")
    assert runtime.infer(frame(runtime.spec)).instruction == second


def test_frames_that_do_not_fit_are_told(model: Path) -> None:
    runtime = Runtime(model)
    runtime.instruct("open the drawer")
    camera = next(iter(runtime.spec.cameras))
    small = frame(runtime.spec)
    small.images[camera] = small.images[camera][:50]
    blind = frame(runtime.spec)
    del blind.images[camera]
    for bad in (small, blind):
        with pytest.raises(InputError, match=f"camera '{camera}'"):
            runtime.infer(bad)
    numb, short = frame(runtime.spec), frame(runtime.spec)
    numb.state[2], short.state = np.nan, short.state[:-1]
    for bad in (numb, short):
        with pytest.raises(InputError, match="state"):
            runtime.infer(bad)


def test_a_folder_that_cannot_be_run_is_told(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model folder"):
        Runtime(tmp_path / "nowhere")
    graph = (model / "policy.onnx").read_bytes()
    (model / "policy.onnx").write_bytes(graph[: len(graph) // 2])
    with pytest.raises(InputError, match="truncated"):
        Runtime(model)
    (model / "policy.onnx").unlink()
    with pytest.raises(InputError, match="no graph"):
        Runtime(model)
    (model / "spec.json").unlink()
    with pytest.raises(InputError, match="no spec"):
        Runtime(model)


def test_a_spec_that_does_not_fit_the_graph_is_told(model: Path) -> None:
    spec = Spec.load(model / "spec.json")
    Spec(spec.cameras, spec.state, spec.action, spec.rate, spec.horizon + 1).save(model / "spec.json")
    with pytest.raises(InputError, match=r"actions.*\(B, 16, 8\).*\(B, 17, 8\)"):
        Runtime(model)


def test_a_graph_without_a_camera_is_told(model: Path) -> None:
    graph = onnx.load(model / "policy.onnx")
    gone = next(i for i in graph.graph.input if i.name == "image_wrist")
    graph.graph.input.remove(gone)
    onnx.save(graph, model / "policy.onnx")
    with pytest.raises(InputError, match="image_wrist: graph has none"):
        Runtime(model)


def test_a_graph_and_a_spec_must_agree_on_switching(model: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "other", switches=True)
    (model / "spec.json").write_text((tmp_path / "other" / "spec.json").read_text())
    with pytest.raises(InputError, match=r"contact: graph has none, spec says float32 \(B, 1\)"):
        Runtime(model)


def test_a_switching_policy_needs_the_sentences_it_was_taught(tmp_path: Path) -> None:
    write_model(tmp_path / "model", switches=True)
    taught = tmp_path / "model" / "instructions.safetensors"
    save_file({"instructions": np.ones((2, 5), np.float32)}, taught)
    with pytest.raises(InputError, match=r"got float32 \(2, 5\), expected float32 \(N, 384\)"):
        Runtime(tmp_path / "model")
    save_file({"sentences": np.ones((2, 384), np.float32)}, taught)
    with pytest.raises(InputError, match=r"instructions\.safetensors cannot be read"):
        Runtime(tmp_path / "model")
    taught.unlink()
    with pytest.raises(InputError, match=r"instructions\.safetensors cannot be read"):
        Runtime(tmp_path / "model")


def test_a_contract_of_another_robot_is_told(model: Path) -> None:
    text = (model / "contract.yaml").read_text()
    (model / "contract.yaml").write_text(text.replace("rate: 20", "rate: 10"))
    with pytest.raises(InputError, match=r"contract\.yaml does not fit"):
        Runtime(model)


def test_providers_are_named_and_never_silently_replaced(model: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'cuda'"):
        Runtime(model, provider="cudda")
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(InputError, match="'cuda' is not in the installed"):
            Runtime(model, provider="cuda")
