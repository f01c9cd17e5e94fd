"""A loaded graph: inputs by name -> outputs by name, with each array where its provider reads it.

CPU     arrays are read where they are
GPU     frame (uint8) --one copy--> buffer of the device, bound once for each batch size
        state_<name>_next stays on the device and is handed back as it is
        actions, execution_estimate --one copy--> host
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort

from policy.spec import Spec

ONNX_TYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32", "tensor(bool)": "bool", "tensor(int64)": "int64"}
Values = dict[str, Any]  # name -> array; memory on a device is an OrtValue, which only `Graph.run` looks into


class Graph:
    """A graph under one provider; for several threads at once."""

    def __init__(self, session: ort.InferenceSession, outputs: Sequence[str], device: str = "cpu") -> None:
        self._session, self._outputs, self._device = session, list(outputs), device
        self._bound: dict[int, tuple[Any, Values]] = {}  # batch size -> binding and its input buffers
        self._lock = threading.Lock()

    def check(self, spec: Spec) -> str:
        """What differs between the graph's inputs and outputs and the spec, whatever the batch; "" if nothing."""
        wrong = []
        for kind, nodes, expected in (
            ("input", self._session.get_inputs(), spec.inputs()),
            ("output", self._session.get_outputs(), spec.outputs()),
        ):
            found = {n.name: (ONNX_TYPES.get(n.type, n.type), tuple(n.shape[1:])) for n in nodes}
            wrong += [
                f"{kind} {n}: graph has {_describe(found.get(n))}, spec says {_describe(expected.get(n))}"
                for n in sorted({*found, *expected})
                if found.get(n) != expected.get(n)
            ]
        return "; ".join(wrong)

    def run(self, feed: Mapping[str, Any]) -> Values:
        """Inputs with batch B -> outputs with batch B."""
        if self._device == "cpu":
            return dict(zip(self._outputs, self._session.run(self._outputs, feed), strict=True))
        with self._lock:
            return self._run_bound(feed)

    def _run_bound(self, feed: Mapping[str, Any]) -> Values:
        batch = next(len(value) for value in feed.values() if isinstance(value, np.ndarray))
        binding, buffers = self._bound.get(batch, (None, {}))
        if binding is None:
            binding = self._session.io_binding()
            self._bound[batch] = binding, buffers
        for name, value in feed.items():
            if isinstance(value, ort.OrtValue):  # memory, which is another tensor each time
                binding.bind_ortvalue_input(name, value)
                buffers.pop(name, None)
            elif name in buffers:
                buffers[name].update_inplace(np.ascontiguousarray(value))
            else:
                buffers[name] = ort.OrtValue.ortvalue_from_numpy(np.array(value, order="C"), self._device, 0)
                binding.bind_ortvalue_input(name, buffers[name])
        for name in self._outputs:  # each run has outputs of its own: several robots keep theirs
            binding.bind_output(name, self._device if kept(name) else "cpu")
        self._session.run_with_iobinding(binding)
        values = dict(zip(self._outputs, binding.get_outputs(), strict=True))
        return {name: value if kept(name) else value.numpy() for name, value in values.items()}


def kept(output: str) -> bool:
    """Whether an output stays on the device: memory, which goes into the next run."""
    return output.startswith("state_") and output.endswith("_next")


def on_host(value: Any) -> np.ndarray:
    """A value as an array of the host."""
    return value.numpy() if isinstance(value, ort.OrtValue) else np.asarray(value)


def _describe(tensor: tuple[str, tuple[int, ...]] | None) -> str:
    return f"{tensor[0]} (B, {', '.join(map(str, tensor[1]))})" if tensor else "none"
