"""An exported graph in fewer bits; inputs and outputs stay as they are.

          state, words -> [first layer] -> [ ... layers ... ] -> [last layer] -> actions
          pictures ------------------------^
int8                          float32      8 bits, calibrated       float32
float16                       16 bits         16 bits               16 bits
"""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

Feed = dict[str, np.ndarray]
LAYERS = {"Conv", "Gemm", "MatMul"}  # with weights


class _Frames(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime ships no types
    def __init__(self, feeds: list[Feed]) -> None:
        self._feeds: Iterator[Feed] = iter(feeds)

    def get_next(self) -> Feed | None:
        """The next frame, None after the last."""
        return next(self._feeds, None)


def to_int8(source: Path, target: Path, feeds: list[Feed]) -> list[str]:
    """Write the graph with 8-bit weights (each channel by itself) and activations, and return its 8-bit layers.

    Weights use 7 of their bits, so that the sums are exact on every processor.

    The range of each activation is what `feeds`, frames of recordings, make it (static quantisation; Jacob et al.
    2018). Layers next to an output, or to an input that is no picture, stay float32: less than half of the error for a
    twentieth of the time.
    """
    with tempfile.TemporaryDirectory() as folder, _quiet():
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        layers = inner_layers(onnx.load(prepared))
        quantize_static(
            str(prepared),
            str(target),
            _Frames(feeds),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,  # what x86's 8-bit instructions take; signed is no faster than float32
            weight_type=QuantType.QInt8,
            reduce_range=True,  # 7 bits: without VNNI, pairs of products of 8 saturate 16 bits, and the result is wrong
            per_channel=True,
            nodes_to_quantize=layers,
        )
    return layers


def to_fp16(source: Path, target: Path) -> None:
    """Write the graph in float16; what float16 cannot do stays float32."""
    with _quiet():
        onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)


def inner_layers(model: onnx.ModelProto) -> list[str]:
    """The layers with constant weights that have other layers between them and every output and input of floats.

    A picture has 8 bits as it comes.
    """
    graph = model.graph
    constant = {tensor.name for tensor in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    read_by: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            read_by.setdefault(name, []).append(node)
    outer = _nearest([made_by[out.name] for out in graph.output if out.name in made_by], made_by, None)
    floats = [given.name for given in graph.input if given.type.tensor_type.elem_type != onnx.TensorProto.UINT8]
    outer |= _nearest([node for name in floats for node in read_by.get(name, [])], None, read_by)
    return [
        node.name
        for node in graph.node
        if node.op_type in LAYERS and node.name not in outer and any(name in constant for name in node.input)
    ]


def _nearest(
    begin: list[onnx.NodeProto],
    made_by: dict[str, onnx.NodeProto] | None,
    read_by: dict[str, list[onnx.NodeProto]] | None,
) -> set[str]:
    """Names of the first layers on each way from some nodes, backwards by `made_by` or forwards by `read_by`."""
    ahead, seen, found = list(begin), set[str](), set[str]()
    while ahead:
        node = ahead.pop()
        if node.name in seen:
            continue
        seen.add(node.name)
        if node.op_type in LAYERS:
            found.add(node.name)
        elif made_by is not None:
            ahead += [made_by[name] for name in node.input if name in made_by]
        elif read_by is not None and node.op_type != "Shape":
            ahead += [reader for name in node.output for reader in read_by.get(name, [])]
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the converters' remarks about their own work."""
    log = logging.getLogger()
    level = log.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)
