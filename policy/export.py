"""Export a run as a model folder: `python -m policy.export runs/chunk --out models/tabletop`.

The graph is the whole policy, from raw images to set-points in robot units. It is written only if torch and
ONNX Session agree on real frames of the bags.
"""

import argparse
import json
import logging
import shutil
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from safetensors.numpy import save

from policy.data import cache as dataset
from policy.errors import InputError, exit_code
from policy.learning import checkpoint
from policy.learning.batches import Batches
from policy.learning.card import card
from policy.learning.model import Policy
from policy.learning.recipe import parse
from policy.robot import contract
from policy.running.session import Session
from policy.spec import Frame

OPSET, IR = 20, 9  # what ONNX Session 1.17 and all later ones read
TOLERANCE = 1e-4  # of the range of each action
FRAMES, THREADS = 64, 2


def export(run: Path, out: Path, bags: Path | None = None, reports: Sequence[Path] = ()) -> dict[str, Any]:
    """Write policy.onnx, spec.json, contract.yaml, README.md and, if the policy switches, instructions.safetensors.

    Returns the figures of the card.

    `bags` is where the bags of the run lie if they have moved; `reports` are report.json whose figures the
    card is to show. `InputError`, and nothing written, if the run or its bags are missing, or torch and ONNX
    Session differ.
    """
    policy, state = checkpoint.load(run)
    _check_free(out)
    evaluations = [_read_report(report) for report in reports]
    batches, batch, span = _real_frames(run, state, bags or Path(state["bags"]))
    aside = out.with_name(f".{out.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        write_graph(policy, aside / "policy.onnx")
        difference = parity(policy, aside / "policy.onnx", batch, span)
        policy.spec.save(aside / "spec.json")
        shutil.copyfile(run / "contract.yaml", aside / "contract.yaml")
        if policy.spec.switches:  # by which an instruction that was never taught is known
            (aside / "instructions.safetensors").write_bytes(save({"instructions": batches.words}))
        said = batches.cache.instructions[0]
        figures = {
            "difference": difference,
            "frames": FRAMES,
            "latency": latency(aside, batch, said),
            "bytes": (aside / "policy.onnx").stat().st_size,
            "threads": THREADS,
            "parameters": sum(p.numel() for p in policy.parameters()),
            "run": run,
            "out": out,
        }
        (aside / "README.md").write_text(card(policy.spec, state, figures, evaluations))
        _swap(aside, out)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror or error}; free space or give another --out") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return figures


def write_graph(policy: Policy, path: Path) -> None:
    """The policy as one ONNX file, any batch size B."""
    examples = tuple(torch.zeros(shape, dtype=kind) for shape, kind in _inputs(policy, 2))
    size = torch.export.Dim("B")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter about itself
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            policy.eval(),
            examples,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=list(policy.inputs),
            output_names=list(policy.outputs),
            dynamic_shapes=[tuple({0: size} for _ in examples)],
        )
    model = program.model_proto
    model.ir_version = IR
    # The exporter notes source lines and paths of this machine in every node: no reader needs them.
    graph = model.graph
    for thing in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        thing.ClearField("metadata_props")
        thing.ClearField("doc_string")
    del model.metadata_props[:]
    onnx.checker.check_model(model)
    onnx.save(model, path)


def parity(policy: Policy, path: Path, batch: dict[str, torch.Tensor], span: np.ndarray) -> float:
    """The largest difference of torch and ONNX Session, as a part of each action's range (A,).

    Frames go in one by one, in threes and all together. `InputError` beyond the tolerance.
    """
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    worst = 0.0
    for size in (1, 3, FRAMES):
        rows = {name: batch[name][: 4 * size].split(size) for name in policy.inputs}
        for parts in zip(*rows.values(), strict=True):
            with torch.no_grad():
                expected = policy(*parts)
            feed = {name: part.numpy() for name, part in zip(policy.inputs, parts, strict=True)}
            actions, *told = session.run(list(policy.outputs), feed)
            if told:
                worst = max(worst, float(np.abs(told[0] - expected[1].numpy()).max()))
                expected = expected[0]
            worst = max(worst, float((np.abs(actions - expected.numpy()) / span).max()))
    if not worst <= TOLERANCE:
        raise InputError(
            f"torch and ONNX Session differ by {worst:.2g} of the action range on real frames, "
            f"at most {TOLERANCE:g} is expected; nothing is written; try another version of one"
        )
    return worst


def latency(folder: Path, batch: dict[str, torch.Tensor], said: str, times: int = 300) -> float:
    """Median milliseconds of one inference, batch 1, through the session that the robot uses."""
    session = Session(folder, threads=THREADS, provider="cpu")
    session.instruct(said)
    frame = Frame(
        0, {name: batch[f"image_{name}"][0].numpy() for name in session.spec.cameras}, batch["state"][0].numpy()
    )
    spent = []
    for _ in range(times):
        begun = time.perf_counter()
        session.infer(frame)
        spent.append(time.perf_counter() - begun)
    return 1e3 * float(np.median(spent))


def _inputs(policy: Policy, size: int) -> list[tuple[tuple[int, ...], torch.dtype]]:
    """Shape and type of each input."""
    spec = policy.spec
    known = {f"image_{name}": ((size, h, w, 3), torch.uint8) for name, (h, w) in spec.cameras.items()}
    known |= {
        "state": ((size, len(spec.state)), torch.float32),
        "instruction": ((size, spec.text), torch.float32),
        "previous_instruction": ((size, spec.text), torch.float32),
        "contact": ((size, 1), torch.float32),
        "contact_origin": ((size, len(spec.state)), torch.float32),
    }
    return [known[name] for name in policy.inputs]


def _real_frames(run: Path, state: dict[str, Any], bags: Path) -> tuple[Batches, dict[str, torch.Tensor], np.ndarray]:
    """The run's batches, some frames of them as inputs, and the range of each action (A,)."""
    if not bags.exists():
        raise InputError(
            f"the bags of {run} are no longer at {bags}; export compares on real frames: give their place with --bags"
        )
    robot = contract.load(run / "contract.yaml")
    cache = dataset.open_cache(bags, robot)
    wanted = parse(state["recipe"])
    if replace(cache.contract.spec, switches=wanted.switches) != checkpoint.spec_of(state):
        raise InputError(
            f"{run / 'contract.yaml'} no longer fits the checkpoint; put back the contract it was trained with"
        )
    batches = Batches(cache, wanted)
    chosen = np.linspace(0, len(cache.state) - 1, FRAMES).astype(int)
    span = dataset.statistics(cache)
    return batches, batches.some(chosen), np.maximum(span["action_max"] - span["action_min"], 1e-3)


def _read_report(path: Path) -> dict[str, Any]:
    try:
        report = json.loads(path.read_text())
        report["switch" if "switch" in report else "tasks"], report["command"]
        return report
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not a report.json ({type(error).__name__}: {error}); make one with `python -m sim.evaluate`"
        ) from None


def _check_free(out: Path) -> None:
    """Only another export may be overwritten."""
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / "policy.onnx").exists()):
        raise InputError(f"{out} exists and is not a model folder; give another --out")


def _swap(aside: Path, out: Path) -> None:
    """Put the finished folder in the place of the old one."""
    old = out.with_name(f".{out.name}.old")
    if out.exists():
        out.rename(old)
    aside.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m policy.export", description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="folder of a training run")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument("--bags", type=Path, help="where the run's bags are, if they have moved")
    parser.add_argument("--report", type=Path, nargs="*", default=[], help="report.json of evaluations, for the card")
    args = parser.parse_args()
    figures = export(args.run, args.out, args.bags, args.report)
    print(
        f"{args.out}: {figures['bytes'] / 1e6:.1f} MB, {figures['latency']:.2f} ms on {THREADS} threads, "
        f"torch and ONNX Session differ by {figures['difference']:.1e} of the action range"
    )


if __name__ == "__main__":
    sys.exit(exit_code(main))
