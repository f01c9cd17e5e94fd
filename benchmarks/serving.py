"""What a network adds: an inference of a served policy, against the same one in this process.

    python benchmarks/serving.py models/tabletop

The server is `policy.serve` in a process of its own, on this machine. Both answer each of the frames, which are random.
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.child import tied
from policy.errors import InputError, exit_code
from policy.running.remote import RemoteSession
from policy.running.session import Session
from policy.running.tracker import Tracker
from policy.spec import Frame

STEP = 50_000_000  # ns between two frames


def main() -> None:
    """Parse the arguments, measure and print."""
    parser = argparse.ArgumentParser(prog="python benchmarks/serving.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", default="models/tabletop")
    parser.add_argument("--runs", type=int, default=500)
    args = parser.parse_args()
    session = Session(args.model, 1, "cpu")
    command = [sys.executable, "-m", "policy.serve", args.model, "--port", "0", "--threads", "1", "--provider", "cpu"]
    with subprocess.Popen(tied(command), cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            found = re.search(r"ws://\S+", server.stdout.readline())
            if found is None:
                raise InputError(f"the server of {args.model} did not start; see what it printed")
            remote = RemoteSession(found[0], session.contract, timeout_s=30.0)
            here, there = _measure(session, remote, args.runs)
        finally:
            server.terminate()
    for name, took in (("in this process", here), ("over a socket of this machine", there)):
        print(f"{name}: p50 {np.percentile(took, 50):.2f} ms, p99 {np.percentile(took, 99):.2f} ms")
    print(f"the network adds {np.percentile(there, 50) - np.percentile(here, 50):.2f} ms (p50)")


def _measure(session: Session, remote: Session, runs: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each inference in this process, and over the socket; `InputError` where chunks differ."""
    random, spec = np.random.default_rng(0), session.spec
    trackers, took = (Tracker(session), Tracker(remote)), (list[float](), list[float]())
    for tracker in trackers:
        tracker.instruct("open the drawer")
    for i in range(runs):
        images = {name: random.integers(0, 256, (h, w, 3), np.uint8) for name, (h, w) in spec.cameras.items()}
        frame = Frame(STEP * (i + 1), images, random.uniform(0, 0.05, len(spec.state)).astype(np.float32))
        chunks = []
        for tracker, times in zip(trackers, took, strict=True):
            began = time.perf_counter()
            chunks.append(tracker.infer(frame).actions)
            times.append((time.perf_counter() - began) * 1e3)
        if not np.array_equal(chunks[0], chunks[1]):
            raise InputError(f"chunk {i} of the served policy is not the one of the policy")
    return took


if __name__ == "__main__":
    sys.exit(exit_code(main))
