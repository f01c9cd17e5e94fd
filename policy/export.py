"""Export a run as a model folder: `python -m policy.export runs/chunk --out models/tabletop`.

The graph is the whole policy, from raw images to set-points in robot units. It is written only if torch and
ONNX Runtime agree on real frames of the bags.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from policy.data.cache import open_cache
from policy.data.pictures import enlarged
from policy.data.windows import statistics
from policy.errors import InputError, exit_code
from policy.learning import checkpoint, instruction_classifier, model_folder
from policy.learning.batches import Batches, picture_size
from policy.learning.card import model_card
from policy.learning.model import Policy
from policy.learning.onnx_graph import answers, check_parity, with_chance, write_graph
from policy.learning.recipe import parse
from policy.learning.tensorrt_operators import unsupported
from policy.robot import contract
from policy.running.session import Session
from policy.running.text import Text
from policy.running.tracker import Tracker
from policy.spec import Frame

FRAMES, THREADS = 64, 2


def export(
    run: Path, out: Path, bags: Path | None = None, reports: Sequence[Path] = (), keep: Path | None = None
) -> dict[str, Any]:
    """Write a model folder; returns the figures of its card.

        policy.onnx  spec.json  contract.yaml  README.md  reference.npz   and, if the policy switches,
        instructions.safetensors

    `bags` and `keep` are the places of the run's bags if they have moved; `reports` are the report.json files whose
    figures the card shows. `InputError`, and nothing written, if the run or its bags are missing, or torch and ONNX
    Runtime differ.
    """
    policy, state = checkpoint.load(run)
    evaluations = [_read_report(report) for report in reports]
    with model_folder.new(out) as aside:
        batches, batch, action_range = _real_frames(run, state, bags, keep)
        if policy.head.indexed:
            with torch.no_grad():
                policy.index(batches.spread(policy.head.indexed))
        write_graph(policy, aside / "policy.onnx")
        # Of bags other than those of the training an action may be constant.
        action_range = np.maximum(action_range, policy.delta_std.numpy().max(0))
        batch = with_chance(policy, batch)
        difference = check_parity(policy, aside / "policy.onnx", batch, action_range)
        answers(policy, batch, action_range).save(aside)
        policy.spec.save(aside / "spec.json")
        shutil.copyfile(run / "contract.yaml", aside / "contract.yaml")
        if policy.spec.switches:  # the session tells by it which task an instruction names, and refuses one without
            cache = batches.cache
            instruction_classifier.write(aside, list(zip(cache.tasks, cache.instructions, strict=True)))
        figures = {
            "difference": difference,
            "frames": FRAMES,
            "latency": latency(aside, batch, batches.cache.instructions[0]),
            "bytes": (aside / "policy.onnx").stat().st_size,
            "threads": THREADS,
            "parameters": sum(p.numel() for p in policy.parameters()),
            "run": run,
            "out": out,
        }
        (aside / "README.md").write_text(model_card(policy.spec, state, figures, evaluations))
    return figures


def latency(folder: Path, batch: dict[str, torch.Tensor], instruction: str, times: int = 300) -> float:
    """Median milliseconds of one inference, batch 1, through the session that the robot uses."""
    session = Session(folder, threads=THREADS, provider="cpu")
    tracker = Tracker(session)
    tracker.instruct(instruction)
    images = {
        name: batch[f"image_{name}"][0].numpy() if f"image_{name}" in batch else np.zeros((*size, 3), np.uint8)
        for name, size in session.spec.cameras.items()
    }
    frame = Frame(0, images, batch["state"][0].numpy())
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        tracker.infer(frame)
        seconds.append(time.perf_counter() - start)
    return 1e3 * float(np.median(seconds))


def _real_frames(
    run: Path, state: dict[str, Any], bags: Path | None, keep: Path | None
) -> tuple[Batches, dict[str, torch.Tensor], np.ndarray]:
    """The run's batches, FRAMES of their frames as inputs, and the range of each action (A,)."""
    places = {}
    for name, given in (("bags", bags), ("keep", keep)):
        recorded = state.get(name)
        places[name] = given or (Path(recorded) if recorded else None)
        if (place := places[name]) is not None and not place.exists():
            raise InputError(
                f"the bags of {run} are no longer at {place}; export compares on real frames and reads there what was "
                f"taught: give their place with --{name}"
            )
    assert places["bags"] is not None
    robot, recipe = contract.load(run / "contract.yaml"), parse(state["recipe"])
    failures = "return_to_go" in recipe.encoders
    cache = open_cache(
        places["bags"],
        robot,
        picture_size(recipe),
        skip_bad=state.get("skip_bad", False),
        failures=failures,
        read=Text().read,
        keep=places["keep"],
    )
    described = checkpoint.describe(recipe, Policy.describe(recipe, cache.contract.spec))
    if described["spec"] != state["spec"]:
        raise InputError(
            f"{run / 'contract.yaml'} no longer fits the checkpoint; put back the contract it was trained with"
        )
    batches = Batches(cache, recipe)
    chosen = np.linspace(0, len(cache.state) - 1, FRAMES).astype(int)
    values = statistics(cache)
    action_range = np.maximum(values["action_max"] - values["action_min"], 1e-3)
    inputs = batches.gather(chosen)
    for name, size in robot.spec.cameras.items():  # the cache holds them at the size that the policy reads
        for images in {f"image_{name}", f"goal_{name}"} & set(inputs):
            inputs[images] = torch.from_numpy(enlarged(inputs[images].numpy(), *size))
    return batches, inputs, action_range


def _read_report(path: Path) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads(path.read_text())
        report["switch" if "switch" in report else "tasks"], report["command"]
        return report
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not a report.json ({type(error).__name__}: {error}); make one with `python -m sim.evaluate`"
        ) from None


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m policy.export", description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="folder of a training run")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument("--bags", type=Path, help="where the run's bags are, if they have moved")
    parser.add_argument("--keep", type=Path, help="where the bags that the run kept are, if they have moved")
    parser.add_argument("--report", type=Path, nargs="*", default=[], help="report.json of evaluations, for the card")
    args = parser.parse_args()
    figures = export(args.run, args.out, args.bags, args.report, args.keep)
    print(
        f"{args.out}: {figures['bytes'] / 1e6:.1f} MB, {figures['latency']:.2f} ms on {THREADS} threads, "
        f"torch and ONNX Runtime differ by {figures['difference']:.1e} of the action range"
    )
    left = unsupported(args.out / "policy.onnx")
    print("TensorRT can take every node" if not left else f"TensorRT leaves to CUDA: {'; '.join(left)}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
