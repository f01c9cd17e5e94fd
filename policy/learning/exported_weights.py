"""The weights of an exported policy, as its graph holds them under the names of its parameters."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper
from torch import Tensor

from policy.errors import InputError

FILE = "policy.onnx"
TWIN = "same as: "  # begins the key of a note in the graph


def read(folder: Path) -> dict[str, Tensor]:
    """Name -> constant of the graph, its weights among them; `InputError` if it cannot be read."""
    path = folder / FILE
    try:
        model = onnx.load(path)
    except (OSError, DecodeError) as error:
        raise InputError(
            f"{path} cannot be read ({error}); give the folder of a run or of an exported policy"
        ) from None
    constants = model.graph.initializer
    held = {constant.name: torch.from_numpy(numpy_helper.to_array(constant).copy()) for constant in constants}
    twins = {entry.key.removeprefix(TWIN): entry.value for entry in model.metadata_props if entry.key.startswith(TWIN)}
    return held | {name: held[twin].clone() for name, twin in twins.items() if twin in held}


def name_twins(model: onnx.ModelProto, weights: Mapping[str, Tensor]) -> None:
    """Note in a graph under which name it holds the weights that equal others, of which the exporter keeps one.

    What only training reads, the objectives, is not in a graph, and not noted either.
    """
    held = {constant.name: constant for constant in model.graph.initializer}
    first: dict[tuple[object, ...], str] = {}
    for name, constant in held.items():
        first.setdefault(_content(numpy_helper.to_array(constant)), name)
    for name, value in weights.items():
        twin = None if name in held or name.startswith("objectives.") else first.get(_content(value.numpy(force=True)))
        if twin is not None:
            model.metadata_props.add(key=TWIN + name, value=twin)


def _content(value: np.ndarray) -> tuple[object, ...]:
    return value.dtype, value.shape, value.tobytes()
