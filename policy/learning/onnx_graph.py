"""The policy as an ONNX file, and its parity with torch."""

import gc
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor

from policy.errors import InputError
from policy.learning import exported_weights
from policy.learning.model import Policy
from policy.running import reference
from policy.running.reference import Reference

OPSET, IR = 20, 9  # what ONNX Runtime 1.17 and all later ones read
TOLERANCE = 1e-4  # of the range of each output
DTYPES = {"uint8": torch.uint8, "float32": torch.float32, "bool": torch.bool, "int64": torch.int64}


def write_graph(policy: Policy, path: Path) -> None:
    """Write the policy as one ONNX file for any batch size B, with the inputs and outputs of its spec."""
    inputs = policy.spec.inputs().values()
    examples = tuple(torch.zeros((2, *shape), dtype=DTYPES[dtype]) for dtype, shape in inputs)
    batch = torch.export.Dim("B")
    with warnings.catch_warnings(), torch.no_grad(), _without_collections():
        warnings.simplefilter("ignore")  # the exporter's, about its own code
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            policy.eval(),
            examples,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=list(policy.inputs),
            output_names=list(policy.outputs),
            dynamic_shapes=[tuple({0: batch} for _ in examples)],
        )
    assert program is not None  # it is None only without dynamo
    model = program.model_proto
    model.ir_version = IR
    # The exporter writes source lines and local paths into every node; no reader needs them.
    graph = model.graph
    for item in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    del model.metadata_props[:]
    exported_weights.name_twins(model, policy.state_dict())
    onnx.checker.check_model(model)
    onnx.save(model, path)


@contextmanager
def _without_collections() -> Iterator[None]:
    """No garbage is collected meanwhile: a sixth of the time of an export, which makes millions of small objects."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def with_chance(policy: Policy, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """A batch of frames with what no recording holds: noise, and the memory of frames before."""
    generator, inputs = torch.Generator().manual_seed(0), policy.spec.inputs()
    absent = [name for name in policy.inputs if name not in batch]
    frames = len(batch["state"])
    return batch | {name: torch.randn((frames, *inputs[name][1]), generator=generator) for name in absent}


def answers(policy: Policy, batch: dict[str, Tensor], action_range: np.ndarray) -> Reference:
    """A few frames of a batch, evenly spread, with what torch answers to them."""
    rows = torch.linspace(0, len(batch["state"]) - 1, reference.FRAMES).long()
    inputs = [batch[name][rows] for name in policy.inputs]
    with torch.no_grad():
        outputs = policy(*inputs)
    return Reference(
        {name: value.numpy() for name, value in zip(policy.inputs, inputs, strict=True)},
        {name: value.numpy() for name, value in zip(policy.outputs, outputs, strict=True)},
        action_range,
    )


def check_parity(policy: Policy, path: Path, batch: dict[str, Tensor], action_range: np.ndarray) -> float:
    """The largest difference of torch and ONNX Runtime on a batch of frames; `InputError` beyond the tolerance.

    Each output is compared on its own scale (`reference.scale`), actions as a share of `action_range` (A,). Frames go
    in one by one, in threes and all together.
    """
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    frames = len(batch["state"])
    with torch.no_grad():
        whole = policy(*(batch[name] for name in policy.inputs))
    scales = [
        reference.scale(name, value.numpy(), action_range) for name, value in zip(policy.outputs, whole, strict=True)
    ]
    difference = 0.0
    for size in (1, 3, frames):
        for start in range(0, min(4 * size, frames), size):
            part = [batch[name][start : start + size] for name in policy.inputs]
            with torch.no_grad():
                expected = policy(*part)
            feed = {name: value.numpy() for name, value in zip(policy.inputs, part, strict=True)}
            got = session.run(list(policy.outputs), feed)
            for value, torch_value, scale in zip(got, expected, scales, strict=True):
                apart = np.abs(value - torch_value.numpy()) / scale
                difference = max(difference, float(np.nan_to_num(apart, nan=np.inf).max()))  # no NaN is larger than 0
    if not np.isfinite(difference):
        raise InputError(
            "torch or ONNX Runtime answers real frames with numbers that are not finite; nothing is written; look at "
            "the losses of the run, and train anew from before they rose"
        )
    if not difference <= TOLERANCE:
        raise InputError(
            f"torch and ONNX Runtime differ by {difference:.2g} of the range of an output on real frames, "
            f"at most {TOLERANCE:g} is expected; nothing is written; try another version of one"
        )
    return difference
