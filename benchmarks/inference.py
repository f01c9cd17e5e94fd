"""One inference, batch 1: ours beside LeRobot's ACT and Diffusion Policy on the same pictures and chunk, and the floor.

    python -m benchmarks.inference [--rounds 30]          after `make lerobot`

    ours       each recipe in ONNX Runtime, in torch as it is and compiled; from camera bytes to set-points
    LeRobot    from scratch, in torch, and ACT exported by a wrapper of a few lines; normalised pictures to a chunk
    floor      the products of our graph at the rate of a large matrix product, or its weights at the rate of memory,
               whichever takes longer

All take turns. The weights are random: how long they take does not depend on them.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peer import Peer
from benchmarks.results import show
from policy.errors import exit_code
from policy.learning import recipe
from policy.learning.model import Policy
from policy.learning.normalization import identity_statistics
from policy.learning.onnx_graph import DTYPES, write_graph
from policy.robot.contract import load

RECIPES = ("chunk", "switch", "sequence")
THREADS, WARM_UP, MATRIX, MEMORY = 2, 5, 2048, 1 << 27  # side of the matrices, bytes read
Times = dict[str, list[float]]  # way -> milliseconds


class Ours:
    """One recipe in every way that it runs here."""

    def __init__(self, name: str, folder: Path) -> None:
        self.policy = Policy(recipe.load(name), SPEC, identity_statistics(SPEC)).eval()
        path = folder / f"{name}.onnx"
        write_graph(self.policy, path)
        self.bytes = path.stat().st_size
        inputs = self.policy.spec.inputs()
        self.inputs = [torch.zeros((1, *shape), dtype=DTYPES[kind]) for kind, shape in inputs.values()]
        feed = {key: value.numpy() for key, value in zip(inputs, self.inputs, strict=True)}
        graphs = {threads: session(path, threads) for threads in (1, THREADS)}
        compiled = torch.compile(self.policy)
        self.ways: dict[str, Callable[[], Any]] = {
            f"{name}, ONNX Runtime, 1 thread": lambda: graphs[1].run(None, feed),
            f"{name}, ONNX Runtime, {THREADS} threads": lambda: graphs[THREADS].run(None, feed),
            f"{name}, torch": lambda: self.policy(*self.inputs),
            f"{name}, torch.compile": lambda: compiled(*self.inputs),
        }

    def products(self) -> int:
        """Floating point operations of one inference."""
        with FlopCounterMode(display=False) as counter:
            self.policy(*self.inputs)
        return int(counter.get_total_flops())


SPEC = load("tabletop").spec


def session(path: Path, threads: int) -> ort.InferenceSession:
    """A graph on the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def milliseconds(call: Callable[[], Any]) -> float:
    """How long one call takes."""
    began = perf_counter()
    call()
    return 1e3 * (perf_counter() - began)


def limits() -> tuple[float, float]:
    """Operations a second of a large matrix product, and bytes a second that are read, each the fastest of ten."""
    a, b = torch.rand(MATRIX, MATRIX), torch.rand(MATRIX, MATRIX)
    much = torch.ones(MEMORY // 4)
    product = min(milliseconds(lambda: a @ b) for _ in range(10))
    reading = min(milliseconds(much.sum) for _ in range(10))
    return 2e3 * MATRIX**3 / product, 1e3 * MEMORY / reading


def measure(rounds: int) -> dict[str, Any]:
    """Milliseconds of each way, of each recipe's floor, and what was measured for it."""
    torch.set_num_threads(THREADS)
    height, width = next(iter(SPEC.cameras.values()))
    assert height == width
    robot = {"cameras": len(SPEC.cameras), "size": height, "state": len(SPEC.state), "action": len(SPEC.action)}
    times: Times = {}
    with tempfile.TemporaryDirectory() as name, Peer() as act, Peer() as diffusion, torch.no_grad():
        folder = Path(name)
        ours = {name: Ours(name, folder) for name in RECIPES}
        parameters = {
            "act": act.ask(build="act", **robot, chunk=SPEC.horizon, threads=THREADS),
            "diffusion": diffusion.ask(build="diffusion", **robot, chunk=SPEC.horizon, threads=THREADS),
        } | {name: sum(p.numel() for p in one.policy.parameters()) for name, one in ours.items()}
        act.ask(export=str(folder / "act.onnx"))
        exported = session(folder / "act.onnx", THREADS)
        feed = {node.name: np.zeros(node.shape, np.float32) for node in exported.get_inputs()}
        ways = {key: way for one in ours.values() for key, way in one.ways.items()}
        ways[f"LeRobot's ACT, exported, {THREADS} threads"] = lambda: exported.run(None, feed)
        peers = {"LeRobot's ACT, torch": act, "LeRobot's Diffusion Policy, 10 steps, torch": diffusion}
        found = [limits()]
        for turn in range(1 + rounds):
            print(f"\r{turn} of {rounds} rounds", end="", file=sys.stderr, flush=True)
            for key, way in ways.items():
                took = [milliseconds(way) for _ in range(WARM_UP if turn == 0 else 10)]
                times.setdefault(key, []).extend(took if turn else [])
            for key, peer in peers.items():
                took = peer.ask(infer=2 if peer is diffusion else 4)[1:]  # the first after others have had the cores
                times.setdefault(key, []).extend(took if turn else [])
            found.append(limits())
        print(file=sys.stderr)
        operations, reading = np.max(found, 0)
        floors = {}
        for name, one in ours.items():
            floors[name] = {"products": 1e3 * one.products() / operations, "weights": 1e3 * one.bytes / reading}
    return {
        "milliseconds": {
            key: [float(np.median(values)), float(np.quantile(values, 0.1))] for key, values in times.items()
        },
        "floor": floors,
        "operations_per_second": float(operations),
        "bytes_per_second": float(reading),
        "parameters": parameters,
    }


def table(figures: dict[str, Any]) -> list[str]:
    """Each way with its median, and how many times faster it is than LeRobot's ACT in torch."""
    times = figures["milliseconds"]
    yardstick = times["LeRobot's ACT, torch"][0]
    lines = ["| one inference, batch 1 | median, fastest tenth [ms] | ACT in torch takes |", "| --- | --- | --- |"]
    for name, (median, fast) in times.items():
        ratio = yardstick / median
        lines.append(f"| {name} | {median:.2f}, {fast:.2f} | {ratio:.{1 if ratio >= 1 else 2}f} times as long |")
    lines += ["", "| recipe | floor by its products, by its weights [ms] | ONNX Runtime takes |", "| --- | --- | --- |"]
    for name, floor in figures["floor"].items():
        fast = times[f"{name}, ONNX Runtime, {THREADS} threads"][1]
        over = fast / max(floor.values())
        lines.append(f"| `{name}` | {floor['products']:.2f}, {floor['weights']:.2f} | {over:.1f} times as long |")
    lines += [
        "",
        f"A large matrix product runs at {figures['operations_per_second'] / 1e9:.0f} GFLOP/s, memory is read at "
        f"{figures['bytes_per_second'] / 1e9:.1f} GB/s, with {THREADS} threads.",
    ]
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--out", type=Path, help="also written as JSON")
    args = parser.parse_args()
    figures = measure(args.rounds)
    show(table(figures), figures, args.out)


if __name__ == "__main__":
    sys.exit(exit_code(main))
