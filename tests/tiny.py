"""A real model folder of a few hundred bytes, so that tests run real ONNX Runtime without training."""

import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from policy.contract import FOLDER, load
from policy.spec import Spec


def write_model(folder: Path, ramp: float = 0.01) -> Spec:
    """actions[i] = state + brightness of the first camera (0 to 1) * (i + 1) * ramp, on the first joint."""
    folder.mkdir(parents=True)
    shutil.copy(FOLDER / "tabletop.yaml", folder / "contract.yaml")
    spec = load(folder / "contract.yaml").spec
    spec.save(folder / "spec.json")
    offset = np.zeros((1, spec.horizon, len(spec.action)), np.float32)
    offset[0, :, 0] = ramp * np.arange(1, spec.horizon + 1)
    first = f"image_{next(iter(spec.cameras))}"
    nodes = [
        helper.make_node("Cast", [first], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "white"], ["brightness"]),
        helper.make_node("Reshape", ["brightness", "column"], ["speed"]),
        helper.make_node("Mul", ["speed", "offset"], ["move"]),
        helper.make_node("Unsqueeze", ["state", "one"], ["here"]),
        helper.make_node("Add", ["here", "move"], ["actions"]),
    ]
    constants = {"axes": np.array([1, 2, 3]), "white": np.array(255, np.float32),
                 "column": np.array([-1, 1, 1]), "one": np.array([1]), "offset": offset}
    inputs = [helper.make_tensor_value_info(f"image_{n}", TensorProto.UINT8, ["B", h, w, 3])
              for n, (h, w) in spec.cameras.items()]
    inputs += [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["B", width])
               for n, width in (("state", len(spec.state)), ("instruction", spec.text))]
    chunk = ["B", spec.horizon, len(spec.action)]
    output = helper.make_tensor_value_info("actions", TensorProto.FLOAT, chunk)
    graph = helper.make_graph(nodes, "tiny", inputs, [output],
                              [numpy_helper.from_array(v, k) for k, v in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "policy.onnx")
    return spec
