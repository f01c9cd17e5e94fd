"""Latency of `Tracker.infer`, batch 1, against a bare ONNX Runtime session with its default options.

    python -m benchmarks.latency models/tabletop

The two take turns, so that other load on the machine affects both alike.
"""

import argparse
import sys
from collections.abc import Callable
from time import perf_counter_ns

import numpy as np
import onnxruntime as ort

from benchmarks.feed import zeros
from policy.errors import exit_code
from policy.running.models import find_model
from policy.running.session import Session
from policy.running.tracker import Tracker
from policy.spec import Frame

THREADS = 2
ROUNDS, WARM_UP = 1000, 50


def milliseconds(call: Callable[[], object]) -> float:
    """How long one call takes."""
    began = perf_counter_ns()
    call()
    return (perf_counter_ns() - began) * 1e-6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="models/tabletop")
    folder = find_model(parser.parse_args().model)
    session = Session(folder, THREADS, "cpu")
    tracker = Tracker(session)
    tracker.instruct(session.taught[0][1] if session.taught else "put the red block in the bowl")
    rng, spec = np.random.default_rng(0), session.spec
    frame = Frame(
        0,
        {n: rng.integers(0, 256, (h, w, 3), np.uint8) for n, (h, w) in spec.cameras.items()},
        np.zeros(len(spec.state), np.float32),
    )
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    bare = ort.InferenceSession(str(folder / "policy.onnx"), options, providers=["CPUExecutionProvider"])
    feed = zeros(spec) | {f"image_{n}": image[None] for n, image in frame.images.items()}
    calls = {"Tracker.infer": lambda: tracker.infer(frame), "bare session": lambda: bare.run(None, feed)}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(WARM_UP + ROUNDS):
        for name, call in calls.items():
            duration = milliseconds(call)
            if i >= WARM_UP:
                times[name].append(duration)
    print(f"{folder}: batch 1, {THREADS} threads, {ROUNDS} calls each, taking turns")
    for name, measured in times.items():
        print(f"  {name:14} median {np.median(measured):.2f} ms, p99 {np.percentile(measured, 99):.2f} ms")
    ours, yardstick = (float(np.median(times[name])) for name in calls)
    print(f"  ratio of the medians {ours / yardstick:.2f}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
