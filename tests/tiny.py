"""A real model folder of a few hundred bytes, so that tests run ONNX Runtime without training."""

import json
import shutil
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from policy.robot.contract import FOLDER, load
from policy.running.known_instructions import FILE, classifier_shapes
from policy.running.text import TOKENS, WIDTH, Sentence, Text
from policy.running.tracker import Tracker
from policy.spec import MODES, Frame, Spec

TAUGHT = ("open the drawer", "close the drawer", "put the red block in the bowl", "press the green button")
SHOWN = (4, 5, 6)  # joints whose actions show the inputs that a switching model has read
SCALE = 1e-3  # rad
STAMPS = count(7, 400_000_000)


def write_model(
    folder: Path, ramp: float = 0.01, switches: bool = False, robot: str = "tabletop", moved: tuple[int, ...] = (0,)
) -> Spec:
    """actions[i] = state + brightness of the first camera (0 to 1) * (i + 1) * ramp, on the joints `moved`.

    A switching one reads its execution estimate from the rows of its last camera (`tell`), and moves the joints
    `SHOWN` by `SCALE` times the cosine of previous and current instruction, the contact it has read, and the distance
    of that joint from the contact's origin.
    """
    folder.mkdir(parents=True)
    shutil.copy(FOLDER / f"{robot}.yaml", folder / "contract.yaml")
    spec = load(folder / "contract.yaml").spec
    reads = (*(f"image_{name}" for name in spec.cameras), "state", "instruction")
    reads += ("previous_instruction", "contact", "contact_origin") if switches else ()
    spec = replace(spec, switches=switches, reads=reads)
    spec.save(folder / "spec.json")
    if switches:
        teach(folder, [(sentence, sentence) for sentence in TAUGHT])
    floats = {"state": len(spec.state), "instruction": spec.text}
    floats |= {"previous_instruction": spec.text, "contact": 1, "contact_origin": len(spec.state)} if switches else {}
    inputs = [
        helper.make_tensor_value_info(f"image_{n}", TensorProto.UINT8, ["B", h, w, 3])
        for n, (h, w) in spec.cameras.items()
    ]
    inputs += [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["B", size]) for n, size in floats.items()]
    outputs = [helper.make_tensor_value_info("actions", TensorProto.FLOAT, ["B", spec.horizon, len(spec.action)])]
    if switches:
        outputs.append(helper.make_tensor_value_info("execution_estimate", TensorProto.FLOAT, ["B", 2 + len(MODES)]))
    nodes, constants = _moving(spec, ramp, "moved" if switches else "actions", moved)
    if switches:
        more, others = _telling(spec)
        nodes, constants = nodes + more, constants | others
    graph = helper.make_graph(
        nodes, "tiny", inputs, outputs, [numpy_helper.from_array(v, k) for k, v in constants.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "policy.onnx")
    return spec


def tell(image: np.ndarray, contact: float = 0, done: float = 0, mode: str = "forward") -> np.ndarray:
    """The last camera's image with this execution estimate for a switching model; the darker a row, the likelier."""
    shown = image.copy()
    for row, chance in enumerate((contact, done, *(float(mode == m) for m in MODES))):
        shown[row] = round(255 * (1 - chance))
    return shown


def frame(spec: Spec, brightness: int = 255, **told: Any) -> Frame:
    """A frame with different joint positions, and with this execution estimate for a switching model.

    Each is 0.4 s later than the one made before it.
    """
    images = {n: np.full((h, w, 3), brightness, np.uint8) for n, (h, w) in spec.cameras.items()}
    last = list(spec.cameras)[-1]
    images[last] = tell(images[last], **told)
    return Frame(next(STAMPS), images, np.linspace(0, 0.07, len(spec.state), dtype=np.float32))


def read(tracker: Tracker, seen: Frame) -> tuple[float, float, float]:
    """Cosine of the instructions, contact and distance to the origin that a switching model reads with this frame."""
    moved = tracker.infer(seen).actions[0, SHOWN] - seen.state[list(SHOWN)]
    likeness, contact, distance = np.round(moved / SCALE, 2)
    return float(likeness), float(contact), float(distance)


def teach(folder: Path, taught: list[tuple[str, str]]) -> None:
    """Write what a model knows, (task, sentence), with a classifier that takes any other sentence to name the first."""
    shapes = classifier_shapes(1, WIDTH, 1, 1, 1, len({task for task, _ in taught}))
    tensors = {name: np.zeros(shape, np.float16) for name, shape in shapes.items()}
    tensors["out.bias"][..., -1] = -100
    tensors["instructions"] = _embedded(tuple(sentence for _, sentence in taught)).astype(np.float16)
    save_file(tensors, folder / FILE, {"sentences": json.dumps(taught)})


@cache
def _embedded(sentences: tuple[str, ...]) -> np.ndarray:
    return Text().embed(list(sentences))


def _moving(
    spec: Spec, ramp: float, out: str, moved: tuple[int, ...]
) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    offset = np.zeros((1, spec.horizon, len(spec.action)), np.float32)
    offset[0, :, moved] = ramp * np.arange(1, spec.horizon + 1)
    first = f"image_{next(iter(spec.cameras))}"
    nodes = [
        helper.make_node("Cast", [first], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "white"], ["brightness"]),
        helper.make_node("Reshape", ["brightness", "column"], ["speed"]),
        helper.make_node("Mul", ["speed", "offset"], ["move"]),
        helper.make_node("Unsqueeze", ["state", "one"], ["here"]),
        helper.make_node("Add", ["here", "move"], [out]),
    ]
    return nodes, {
        "axes": np.array([1, 2, 3]),
        "white": np.array(255, np.float32),
        "column": np.array([-1, 1, 1]),
        "one": np.array([1]),
        "offset": offset,
    }


def _telling(spec: Spec) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    last = f"image_{list(spec.cameras)[-1]}"
    shows = np.zeros((2 + len(spec.state), len(spec.action)), np.float32)
    for row, joint in zip((0, 1, 2 + SHOWN[2]), SHOWN, strict=True):
        shows[row, joint] = SCALE
    nodes = [
        helper.make_node("Slice", [last, "zero", "rows", "one"], ["top"]),
        helper.make_node("Cast", ["top"], ["band"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["band", "across"], ["bright"], keepdims=0),
        helper.make_node("Sub", ["white", "bright"], ["dark"]),
        helper.make_node("Div", ["dark", "white"], ["execution_estimate"]),
        helper.make_node("Mul", ["previous_instruction", "instruction"], ["products"]),
        helper.make_node("ReduceSum", ["products", "one"], ["likeness"], keepdims=1),
        helper.make_node("Sub", ["state", "contact_origin"], ["away"]),
        helper.make_node("Concat", ["likeness", "contact", "away"], ["read"], axis=1),
        helper.make_node("MatMul", ["read", "shows"], ["nudge"]),
        helper.make_node("Unsqueeze", ["nudge", "one"], ["nudges"]),
        helper.make_node("Add", ["moved", "nudges"], ["actions"]),
    ]
    return nodes, {
        "zero": np.array([0]),
        "rows": np.array([2 + len(MODES)]),
        "across": np.array([2, 3]),
        "shows": shows,
    }


def sentence(text: str, pooled: np.ndarray) -> Sentence:
    """A sentence of one token, its vector (D,)."""
    states = np.pad(pooled[None], ((0, TOKENS - 1), (0, 0)))
    return Sentence(text, pooled, states, np.arange(TOKENS) < 1)
