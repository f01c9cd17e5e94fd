"""The weights of an exported policy, as its graph holds them under the names of its parameters."""

from pathlib import Path

import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper
from torch import Tensor

from policy.errors import InputError

FILE = "policy.onnx"


def read(folder: Path) -> dict[str, Tensor]:
    """Name -> constant of the graph, its weights among them; `InputError` if it cannot be read."""
    path = folder / FILE
    try:
        graph = onnx.load(path).graph
    except (OSError, DecodeError) as error:
        raise InputError(
            f"{path} cannot be read ({error}); give the folder of a run or of an exported policy"
        ) from None
    return {constant.name: torch.from_numpy(numpy_helper.to_array(constant).copy()) for constant in graph.initializer}
