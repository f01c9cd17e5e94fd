"""Write a model folder whose graph has fewer bits: `python -m policy.quantize models/tabletop --precision int8 ...`.

    --precision int8 --bags data/tabletop     8-bit layers for the CPU; the bags show the range of each activation
    --precision fp16                          float16, for a GPU

It is written only if its answers to recorded frames are close to those of the float32 graph. Then evaluate both:
`python -m sim.evaluate` with the same seeds (docs/speed.md).
"""

import argparse
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from policy.errors import InputError, exit_code, unknown
from policy.learning import model_folder
from policy.learning.lower_precision import to_fp16, to_int8
from policy.learning.replayed_inputs import Feeds, replay
from policy.running import reference
from policy.running.models import find_model
from policy.running.reference import FRAMES, Arrays, Parity, Reference
from policy.running.session import Session

PRECISIONS = ("int8", "fp16")
THREADS = 2
ROUNDS = 200  # of the time of an inference


def quantize(model: Path, out: Path, precision: str, bags: Path | None) -> tuple[Parity, dict[str, float]]:
    """Write a model folder; how far its answers are from float32, and milliseconds of an inference of both.

    `InputError`, and nothing written, if the model or the bags cannot be used, or the answers are too far.
    """
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    session = Session(model, THREADS, "cpu")
    saved = reference.load(model, session.spec, "export the model again")
    if saved is not None and saved.precision != "fp32":
        raise InputError(f"{model} is {saved.precision} already; give the model that it was made of")
    if bags is None and (precision == "int8" or saved is None):
        raise InputError(
            f"got no recordings for {precision}: "
            + ("they show the range of each activation" if precision == "int8" else f"{model} has no saved frames")
            + "; give --bags, a folder of recordings of the tasks that the policy was trained on"
        )
    if out.resolve() == model.resolve():
        raise InputError(f"--out {out} is the model itself; give another folder")
    with model_folder.new(out) as aside:
        calibration, compared = Feeds(), saved
        if bags is not None:
            feeds = replay(session, bags)
            calibration, compared = feeds[::2], _answered(session, feeds[1::2])
        assert compared is not None
        source, target = model / "policy.onnx", aside / "policy.onnx"
        if precision == "int8":
            to_int8(source, target, calibration)
        else:
            to_fp16(source, target)
        for file in model.iterdir():
            if file.is_file() and file.name not in ("policy.onnx", reference.FILE):
                shutil.copyfile(file, aside / file.name)
        kept = _some(saved or compared, precision)
        kept.save(aside)
        lower = Session(aside, THREADS, "cpu")  # which passes the frames that are kept
        parity = replace(compared, precision=precision).compare(lower.run)
        if not parity.passed:
            raise InputError(f"{parity}; nothing is written: give --bags with more of what the robot does")
        times = _milliseconds({"fp32": session, precision: lower}, kept.inputs)
        _describe(aside / "README.md", model, parity, times)
    return parity, times


def _answered(session: Session, feeds: Feeds) -> Reference:
    """Recorded frames with the answers of a session; the range of an action is what it spans in them."""
    inputs = {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
    outputs = {name: np.asarray(value) for name, value in session.run(inputs).items()}
    actions = outputs["actions"].reshape(-1, len(session.spec.action))
    action_range = np.maximum(actions.max(0) - actions.min(0), 1e-3)
    return Reference(inputs, outputs, action_range, frames=f"{len(feeds)} recorded frames")


def _some(of: Reference, precision: str) -> Reference:
    """A few frames, evenly spread, to be saved with the model."""
    rows = np.unique(np.linspace(0, len(of.outputs["actions"]) - 1, FRAMES).astype(int))

    def some(arrays: Arrays) -> Arrays:
        return {name: value[rows] for name, value in arrays.items()}

    return Reference(some(of.inputs), some(of.outputs), of.action_range, precision)


def _milliseconds(sessions: dict[str, Session], inputs: Arrays) -> dict[str, float]:
    """Median time of an inference, batch 1, of sessions that take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    feed = {name: value[:1] for name, value in inputs.items()}
    for _ in range(ROUNDS):
        for name, session in sessions.items():
            began = time.perf_counter()
            session.run(feed)
            seconds[name].append(time.perf_counter() - began)
    return {name: 1e3 * float(np.median(values)) for name, values in seconds.items()}


def _describe(card: Path, model: Path, parity: Parity, times: dict[str, float]) -> None:
    before = card.read_text() if card.is_file() else f"# {model.name}\n"
    figures = ", ".join(f"{name} {value:.2f} ms" for name, value in times.items())
    card.write_text(
        f"{before.rstrip()}\n\n## Precision\n\nThe graph is that of `{model.name}` in {parity.precision}, by "
        f"`python -m policy.quantize`; all figures above are of float32. {str(parity).capitalize()}. One inference on "
        f"{THREADS} CPU threads: {figures}.\n"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m policy.quantize", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", help="model folder, as policy.export writes it, or the name of a shipped one")
    parser.add_argument("--precision", required=True, help=" or ".join(PRECISIONS))
    parser.add_argument("--bags", type=Path, help="recordings of what the robot does; int8 needs them")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    args = parser.parse_args()
    parity, times = quantize(find_model(args.model), args.out, args.precision, args.bags)
    figures = ", ".join(f"{name} {value:.2f} ms" for name, value in times.items())
    print(f"{args.out}: {parity}; {figures} on {THREADS} threads")


if __name__ == "__main__":
    sys.exit(exit_code(main))
