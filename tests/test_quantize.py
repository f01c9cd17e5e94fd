"""Graphs in fewer bits: what stays float32, what is written, and what is not."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from policy import quantize
from policy.errors import InputError
from policy.learning import recipe
from policy.learning.lower_precision import inner_layers, to_fp16, to_int8
from policy.learning.model import Policy
from policy.learning.normalization import identity_statistics
from policy.learning.onnx_graph import write_graph
from policy.learning.replayed_inputs import Feeds, replay
from policy.learning.tensorrt_operators import unsupported
from policy.robot.contract import FOLDER, load
from policy.running import reference
from policy.running.session import Session
from tests import small
from tests.tiny import write_model

ROOT = Path(__file__).parent.parent
TABLETOP = ROOT / "models" / "tabletop"
HORIZON = load("tabletop").spec.horizon


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """image (bytes) -> a -> b -> c -> actions; state -> s joins after a, and so does its shape."""
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(0, 0.3, (8, 8)).astype(np.float32) for name in "abcs"}
    nodes = [
        helper.make_node("Transpose", ["image"], ["turned"], name="turn", perm=[0, 1]),
        helper.make_node("Cast", ["turned"], ["x"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Gemm", ["x", "wa"], ["ha"], name="a"),
        helper.make_node("Relu", ["ha"], ["ra"], name="ra"),
        helper.make_node("Gemm", ["state", "ws"], ["hs"], name="s"),
        helper.make_node("Add", ["ra", "hs"], ["joined"], name="join"),
        helper.make_node("Shape", ["state"], ["shape"], name="shape"),
        helper.make_node("Expand", ["one", "shape"], ["ones"], name="ones"),
        helper.make_node("Add", ["joined", "ones"], ["moved"], name="add"),
        helper.make_node("Gemm", ["moved", "wb"], ["hb"], name="b"),
        helper.make_node("Relu", ["hb"], ["rb"], name="rb"),
        helper.make_node("Transpose", ["rb"], ["turned_rb"], name="turn_rb"),
        helper.make_node("MatMul", ["rb", "turned_rb"], ["likeness"], name="activations"),
        helper.make_node("MatMul", ["likeness", "rb"], ["m"], name="more_activations"),
        helper.make_node("Gemm", ["m", "wc"], ["actions"], name="c"),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [
            helper.make_tensor_value_info("image", TensorProto.UINT8, ["B", 8]),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, ["B", 8]),
        ],
        [helper.make_tensor_value_info("actions", TensorProto.FLOAT, ["B", 8])],
        [numpy_helper.from_array(value, f"w{name}") for name, value in weights.items()]
        + [numpy_helper.from_array(np.float32(1), "one")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, tmp_path / "network.onnx")
    return tmp_path / "network.onnx"


def feed(rng: np.random.Generator, batch: int = 3) -> dict[str, np.ndarray]:
    return {"image": rng.integers(0, 9, (batch, 8), np.uint8), "state": rng.standard_normal((batch, 8), np.float32)}


def test_layers_next_to_an_output_or_an_input_that_is_no_picture_stay_float32(network: Path, tmp_path: Path) -> None:
    assert inner_layers(onnx.load(network)) == ["a", "b"]
    rng = np.random.default_rng(0)
    feeds = [feed(rng) for _ in range(8)]
    assert to_int8(network, tmp_path / "int8.onnx", feeds) == ["a", "b"]
    exact, lower = (ort.InferenceSession(path) for path in (network, tmp_path / "int8.onnx"))
    for one in feeds:
        expected, got = exact.run(None, one)[0], lower.run(None, one)[0]
        assert 0 < np.abs(expected - got).max() < 0.05 * np.ptp(expected)
    types = [node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node]
    assert "QuantizeLinear" in types
    to_fp16(network, tmp_path / "fp16.onnx")
    lower = ort.InferenceSession(tmp_path / "fp16.onnx")
    assert (lower.get_inputs()[0].type, lower.get_outputs()[0].type) == ("tensor(uint8)", "tensor(float)")
    np.testing.assert_allclose(lower.run(None, feeds[0])[0], exact.run(None, feeds[0])[0], rtol=2e-2, atol=1e-1)


def test_what_tensorrt_cannot_take_is_named_from_the_graph_alone(network: Path, tmp_path: Path) -> None:
    assert unsupported(network) == ["Transpose (turn): it takes bytes only into a Cast"]
    to_int8(network, tmp_path / "int8.onnx", [feed(np.random.default_rng(0))])
    assert any("its zero point has to be 0, of int8" in line for line in unsupported(tmp_path / "int8.onnx"))
    graph = onnx.load(network)
    strange = next(node for node in graph.graph.node if node.name == "ra")
    strange.op_type, strange.name = "Det", "strange"
    onnx.save(graph, network)
    assert "Det (strange): no such operator" in unsupported(network)
    # Of the shipped policy: how the pictures come in, and nothing else.
    assert {line.split(": ")[1] for line in unsupported(TABLETOP / "policy.onnx")} == {
        "it takes bytes only into a Cast"
    }


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.bags(tmp_path_factory.mktemp("bags"), episodes=2)


@pytest.fixture(scope="module")
def feeds(bags: Path, tmp_path_factory: pytest.TempPathFactory) -> Feeds:
    """What a small policy with everything that may be absent is calibrated with."""
    folder = tmp_path_factory.mktemp("model")
    raw = small.shrink("chunk")
    raw["encoders"] |= {"committed": {}, "goal_image": {"size": 16}, "return_to_go": {}}
    robot = load("tabletop")
    made = Policy(recipe.parse(raw), robot.spec, identity_statistics(robot.spec)).eval()
    write_graph(made, folder / "policy.onnx")
    made.spec.save(folder / "spec.json")
    shutil.copy(FOLDER / "tabletop.yaml", folder / "contract.yaml")
    return replay(Session(folder, 1, "cpu"), bags)


def test_a_policy_is_calibrated_with_set_points_committed_and_without(feeds: Feeds) -> None:
    steps = [int(feed["committed_steps"][0]) for feed in feeds]
    assert 0.4 < np.mean([n > 0 for n in steps]) < 0.6 and len(set(steps)) > 3 and max(steps) <= HORIZON // 2
    for of in (steps[::2], steps[1::2]):  # of those that calibrate and of those that are compared
        assert 0.3 < np.mean([n > 0 for n in of]) < 0.7


def test_a_policy_is_calibrated_with_its_conditions_and_without(feeds: Feeds) -> None:
    for name in ("goal_present", "return_to_go_present"):
        assert 0.3 < np.mean([bool(feed[name][0]) for feed in feeds]) < 0.7, name
    pictures = {feed["goal_front"].tobytes() for feed in feeds}
    assert len(pictures) == 2 and all(feed["goal_front"].any() == feed["goal_present"][0] for feed in feeds)


@pytest.mark.slow
def test_a_model_folder_in_8_bits_serves_and_knows_how_far_it_is(bags: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "policy.quantize", "models/tabletop", "--precision", "int8", "--bags", str(bags)]
    done = subprocess.run([*command, "--out", tmp_path / "int8"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "int8 differs by at most" in done.stdout
    assert {f.name for f in (tmp_path / "int8").iterdir()} == {f.name for f in TABLETOP.iterdir()} | {reference.FILE}
    assert "## Precision" in (tmp_path / "int8" / "README.md").read_text()
    session = Session(tmp_path / "int8", 1)
    assert session.parity is not None and session.parity.precision == "int8" and 0 < session.parity.mean < 0.01
    assert (tmp_path / "int8" / "policy.onnx").stat().st_size < 0.5 * (TABLETOP / "policy.onnx").stat().st_size
    # A machine whose 8-bit instructions saturate answers otherwise: the saved frames notice.
    graph = onnx.load(tmp_path / "int8" / "policy.onnx")
    for scale in graph.graph.initializer:
        if scale.name.endswith("_scale") and numpy_helper.to_array(scale).ndim == 0:
            scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) / 4, scale.name))
    onnx.save(graph, tmp_path / "int8" / "policy.onnx")
    with pytest.raises(InputError, match=r"int8 differs by at most .* take the model in float32"):
        Session(tmp_path / "int8", 1)


@pytest.mark.slow
def test_a_graph_that_is_too_far_from_float32_is_not_written(
    bags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(reference.TOLERANCE, "int8", (1e-6, 1e-6))
    with pytest.raises(InputError, match="int8 differs"):
        quantize.quantize(TABLETOP, tmp_path / "int8", "int8", bags)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_done_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    for precision, bags, out, match in [
        ("int4", None, "out", "unknown precision"),
        ("int8", None, "out", "the range of each activation"),
        ("fp16", None, "out", "has no saved frames"),
        ("fp16", tmp_path, "model", "is the model itself"),
        ("fp16", tmp_path / "nowhere", "out", "nowhere"),
    ]:
        with pytest.raises(InputError, match=match):
            quantize.quantize(tmp_path / "model", tmp_path / out, precision, bags)
    assert [f.name for f in tmp_path.iterdir()] == ["model"]
