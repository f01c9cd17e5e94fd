"""From a model folder to a graph that serves: the first provider that starts and passes the saved frames.

tensorrt --missing, or differs--> cuda --missing, or differs--> cpu --cannot be read, or differs--> InputError
          with a warning                 with a warning
"""

from pathlib import Path

from policy.errors import InputError
from policy.running import providers, reference
from policy.running.batching import MOST
from policy.running.graph import Graph
from policy.running.reference import Parity, Reference
from policy.spec import Spec

EXPORT_AGAIN = "export it again with `python -m policy.export <run> --out <folder>`"


def load_graph(folder: Path, spec: Spec, threads: int, wanted: str) -> tuple[Graph, str, Parity | None]:
    """The graph on the first provider that can serve, that provider, and how far its answers are from the saved ones.

    A provider that is passed over is named in a warning with what is missing. `InputError` where the CPU cannot serve.
    """
    path, names = folder / "policy.onnx", providers.candidates(wanted)
    if not path.is_file():
        raise InputError(
            f"no graph at {path}: a model folder holds policy.onnx, spec.json and contract.yaml; {EXPORT_AGAIN}"
        )
    saved = reference.load(folder, spec, EXPORT_AGAIN)
    for name in names:
        graph, parity, refused = _try(folder, spec, threads, name, saved)
        if graph is not None:
            return graph, name, parity
        providers.LOG.warning("provider %s is not used: %s; trying %s", name, refused, names[names.index(name) + 1])
    raise AssertionError("the CPU either serves or raises")


def _try(
    folder: Path, spec: Spec, threads: int, name: str, saved: Reference | None
) -> tuple[Graph | None, Parity | None, str]:
    """The graph on a provider and its parity, or why this provider cannot serve; `InputError` where no other could."""
    path, last = folder / "policy.onnx", name == "cpu"
    if absent := providers.missing(name):
        if last:
            raise InputError(f"no provider can run {path}: {absent}")
        return None, None, absent
    with providers.progress(name):
        try:
            loaded = providers.open_graph(path, threads, name, saved.precision if saved else "fp32")
        except Exception as error:  # ONNX Runtime raises many unrelated types
            if last:
                raise providers.unreadable(path, error, EXPORT_AGAIN) from None
            return None, None, f"it does not load the graph ({providers.first_line(error)})"
        if (found := providers.loaded_on(loaded)) != name:
            return None, None, f"ONNX Runtime took {found} in its place"
        graph = Graph(loaded, list(spec.outputs()), providers.DEVICES[name])
        if wrong := graph.check(spec):
            raise InputError(f"{folder}: spec.json does not fit policy.onnx ({wrong}); {EXPORT_AGAIN}")
        if saved is None and last:  # the CPU is what others are compared with
            return graph, None, ""
        try:
            compared = saved or _made_up(path, threads, spec)
            parity = compared.compare(graph.run, most=MOST if name == "tensorrt" else 0)
        except Exception as error:  # an operator that it cannot run
            if last:
                raise InputError(f"{path} does not run ({providers.first_line(error)}); {EXPORT_AGAIN}") from None
            return None, None, f"it does not run the graph ({providers.first_line(error)})"
    if parity.passed:
        return graph, parity, ""
    if last:
        lower = f"this processor may compute {parity.precision} otherwise: take the model in float32"
        raise InputError(f"{folder}: cpu, {parity}; {EXPORT_AGAIN if parity.precision == 'fp32' else lower}")
    return None, None, str(parity)


def _made_up(path: Path, threads: int, spec: Spec) -> Reference:
    """Frames that are not saved, with the answers of the CPU."""
    graph = Graph(providers.open_graph(path, threads, "cpu", "fp32"), list(spec.outputs()))
    return reference.made_up(spec, graph.run)
