"""Robots at one session: inferences in one batch beside one by one, from frames to chunks.

    python -m benchmarks.batch models/tabletop

    one by one   Tracker.infer of each robot in turn                                                  the yardstick
    batch        the inputs of all in one run of the graph, then each tracker takes its answer
    threads      each robot calls from a thread of its own, as in a policy server (policy.running.batching)

The ways take turns, so that other load on the machine affects all alike. The answers have to be equal.
"""

import argparse
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NamedTuple

import numpy as np

from policy.errors import InputError, exit_code
from policy.running.models import find_model
from policy.running.session import Session
from policy.running.tracker import Tracker
from policy.spec import Frame, Spec

ROBOTS = (1, 2, 4, 8, 16, 32, 64)
SECONDS = 1.5  # of each way at each number of robots
LEAST = 5  # rounds, however long they take
ATOL = 1e-4  # rad, m


class Rate(NamedTuple):
    """Chunks."""

    second: float
    cpu_second: float  # of all threads together


class Fleet:
    """N robots, each with its own instruction and frames."""

    def __init__(self, session: Session, robots: int, instructions: list[str]) -> None:
        self.session, rng = session, np.random.default_rng(robots)
        self.trackers = [Tracker(session) for _ in range(robots)]
        self.frames = [_frame(session.spec, rng) for _ in self.trackers]
        for i, tracker in enumerate(self.trackers):
            tracker.instruct(instructions[i % len(instructions)])

    def one_by_one(self) -> list[np.ndarray]:
        """One run of the graph for each robot."""
        return [tracker.infer(frame).actions for tracker, frame in zip(self.trackers, self.frames, strict=True)]

    def batch(self) -> list[np.ndarray]:
        """One run of the graph for all."""
        feeds = [tracker.inputs(frame) for tracker, frame in zip(self.trackers, self.frames, strict=True)]
        outputs = self.session.run({name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]})
        return [
            tracker.update(frame, {name: value[i : i + 1] for name, value in outputs.items()}).actions
            for i, (tracker, frame) in enumerate(zip(self.trackers, self.frames, strict=True))
        ]

    def threads(self, pool: ThreadPoolExecutor) -> list[np.ndarray]:
        """Each robot in a thread of its own."""
        with ExitStack() as here:
            for _ in self.trackers:
                here.enter_context(self.session.robot())
            return list(pool.map(lambda tracker, frame: tracker.infer(frame).actions, self.trackers, self.frames))


def _frame(spec: Spec, rng: np.random.Generator) -> Frame:
    images = {name: rng.integers(0, 256, (*size, 3), np.uint8) for name, size in spec.cameras.items()}
    return Frame(0, images, rng.normal(0, 0.3, len(spec.state)).astype(np.float32))


def measure(session: Session, robots: int, instructions: list[str]) -> dict[str, Rate]:
    """What each way reaches; `InputError` where the answers differ.

    Rounds that other programs interrupt are slower: the rate is that of the fastest tenth.
    """
    with ThreadPoolExecutor(robots) as pool:
        ways: dict[str, Callable[[Fleet], list[np.ndarray]]] = {
            "one by one": Fleet.one_by_one,
            "batch": Fleet.batch,
            "threads": lambda fleet: fleet.threads(pool),
        }
        fleets = {name: Fleet(session, robots, instructions) for name in ways}
        answers = {name: np.stack(way(fleets[name])) for name, way in ways.items()}  # and the warm-up
        for name, given in answers.items():
            if not np.allclose(given, answers["one by one"], atol=ATOL):
                raise InputError(f"{robots} robots, {name}: the answers are not those of one by one")
        wall: dict[str, list[float]] = {name: [] for name in ways}
        cpu: dict[str, list[float]] = {name: [] for name in ways}
        while sum(map(sum, wall.values())) < SECONDS * len(ways) or len(wall["batch"]) < LEAST:
            for name, way in ways.items():
                began, used = perf_counter(), process_time()
                way(fleets[name])
                wall[name].append(perf_counter() - began)
                cpu[name].append(process_time() - used)
    return {
        name: Rate(*(robots / float(np.quantile(seconds, 0.1)) for seconds in (wall[name], cpu[name]))) for name in ways
    }


def table(figures: dict[str, Any]) -> list[str]:
    """Chunks a second of the processor, by how many robots there are."""
    lines = ["| robots | one by one | one batch | a thread each |", "| --- | --- | --- | --- |"]
    for robots, rates in figures["rows"].items():
        alone = rates["one by one"]["cpu_second"]
        cells = [
            f"{rates[way]['cpu_second']:.0f} ({rates[way]['cpu_second'] / alone:.2f}x)" for way in ("batch", "threads")
        ]
        lines.append(f"| {robots} | {alone:.0f} | {cells[0]} | {cells[1]} |")
    return [*lines, "", f"Chunks a processor second, {figures['threads']} threads, {figures['provider']}."]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", default="models/tabletop")
    parser.add_argument("--threads", type=int, default=2, help="of one run of the graph on the CPU")
    parser.add_argument("--provider", default="cpu")
    parser.add_argument("--out", type=Path, help="also written as JSON")
    args = parser.parse_args()
    session = Session(find_model(args.model), args.threads, args.provider)
    instructions = [text for _, text in session.taught][:50] or ["open the drawer"]
    print(f"{args.model} on {session.provider}, {args.threads} threads; the ratios are to one by one")
    print("                chunks a second                          chunks a second of the CPU")
    print("robots  one by one          batch        threads   one by one          batch        threads")
    rows = {}
    for robots in ROBOTS:
        rates = measure(session, robots, instructions)
        columns = []
        for unit in Rate._fields:
            rate = {name: getattr(rates[name], unit) for name in rates}
            columns += [f"{rate['one by one']:10.0f}"]
            columns += [f"{rate[way]:6.0f} ({rate[way] / rate['one by one']:.2f}x)" for way in ("batch", "threads")]
        print(
            f"{robots:6}  {columns[0]}  {'  '.join(columns[1:3])}   {columns[3]}  {'  '.join(columns[4:])}", flush=True
        )
        rows[robots] = {name: rate._asdict() for name, rate in rates.items()}
    if args.out:
        args.out.write_text(json.dumps({"provider": session.provider, "threads": args.threads, "rows": rows}) + "\n")


if __name__ == "__main__":
    sys.exit(exit_code(main))
