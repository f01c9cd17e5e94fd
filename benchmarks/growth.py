"""What an inference costs as the robot and the policy grow: cameras, picture size, chunk, layers, width.

    python -m benchmarks.growth

The recipe `chunk` in ONNX Runtime, batch 1, 2 threads, random weights; one thing grows, the rest stays. Each curve
carries its yardstick: the recipe as it ships, measured again in the same round. How it grows with the frames of
a memory is measured by benchmarks.memory, with robots by benchmarks.batch, with a bag's length by benchmarks.ingest.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.feed import zeros
from benchmarks.inference import SPEC, THREADS, milliseconds, session
from benchmarks.results import show
from policy.errors import exit_code
from policy.learning import recipe
from policy.learning.model import Policy
from policy.learning.normalization import identity_statistics
from policy.learning.onnx_graph import write_graph
from policy.spec import Spec

Raw = dict[str, Any]
RECIPE, CALLS, WARM_UP = "chunk", 20, 5
SIZE = next(iter(SPEC.cameras.values()))[0]


def _cameras(raw: Raw, value: int) -> tuple[Raw, Spec]:
    return raw, replace(SPEC, cameras={f"camera_{i}": (SIZE, SIZE) for i in range(value)})


def _picture(raw: Raw, value: int) -> tuple[Raw, Spec]:
    raw["encoders"]["cameras"]["size"] = value
    return raw, replace(SPEC, cameras=dict.fromkeys(SPEC.cameras, (value, value)))


def _native_picture(raw: Raw, value: int) -> tuple[Raw, Spec]:
    return raw, replace(SPEC, cameras=dict.fromkeys(SPEC.cameras, (value, value)))


def _chunk(raw: Raw, value: int) -> tuple[Raw, Spec]:
    return raw, replace(SPEC, horizon=value)


def _layers(raw: Raw, value: int) -> tuple[Raw, Spec]:
    raw["mixer"]["layers"] = value
    return raw, SPEC


def _width(raw: Raw, value: int) -> tuple[Raw, Spec]:
    raw["width"] = value
    return raw, SPEC


GROWS: dict[str, tuple[Callable[[Raw, int], tuple[Raw, Spec]], tuple[int, ...]]] = {
    "cameras": (_cameras, (1, 2, 3, 4, 6, 8)),
    "pixels of a side that the policy reads": (_picture, (64, 96, 128, 192, 256)),
    "pixels of a side of the camera, read as 96": (_native_picture, (96, 128, 256, 480, 960)),
    "steps of a chunk": (_chunk, (8, 16, 32, 64, 128)),
    "layers of the mixer": (_layers, (1, 2, 4, 8, 16)),
    "width": (_width, (64, 128, 256, 512, 1024)),
}


def built(grow: Callable[[Raw, int], tuple[Raw, Spec]], value: int, folder: Path) -> Callable[[], Any]:
    """One inference of the recipe, grown."""
    raw, spec = grow(recipe.dump(recipe.load(RECIPE)), value)
    policy = Policy(recipe.parse(raw), spec, identity_statistics(spec)).eval()
    path = folder / f"{grow.__name__}_{value}.onnx"
    write_graph(policy, path)
    graph, feed = session(path, THREADS), zeros(policy.spec)
    return lambda: graph.run(None, feed)


def measure(rounds: int) -> dict[str, Any]:
    """Curve -> value -> milliseconds, the fastest tenth."""
    curves: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        for what, (grow, values) in GROWS.items():
            print(what, file=sys.stderr, flush=True)
            calls = {str(value): built(grow, value, Path(name)) for value in values}
            calls["as shipped"] = built(_chunk, SPEC.horizon, Path(name))
            times: dict[str, list[float]] = {key: [] for key in calls}
            for _ in range(rounds):
                for key, call in calls.items():
                    times[key] += [milliseconds(call) for _ in range(WARM_UP + CALLS)][WARM_UP:]
            curves[what] = {key: float(np.quantile(taken, 0.1)) for key, taken in times.items()}
    return {"curves": curves}


def bend(values: list[int], times: list[float]) -> str:
    """From where on the cost doubles at least as fast as what grows, up to the largest value."""
    steep = [np.log(y / x) >= np.log(b / a) for (a, b), (x, y) in zip(pairwise(values), pairwise(times), strict=True)]
    gentle = [i for i, as_steep in enumerate(steep) if not as_steep]
    begins = gentle[-1] + 1 if gentle else 0
    if begins < len(steep):
        return f"from {values[begins]} on in proportion or worse"
    return "always less than in proportion" if not any(steep) else "less than in proportion at the end"


def table(figures: dict[str, Any]) -> list[str]:
    """A row for each curve."""
    lines = ["| what grows | milliseconds of an inference | as shipped | |", "| --- | --- | --- | --- |"]
    for what, curve in figures["curves"].items():
        values = [key for key in curve if key != "as shipped"]
        cells = ", ".join(f"{value}: {curve[value]:.2f}" for value in values)
        bends = bend([int(value) for value in values], [curve[value] for value in values])
        lines.append(f"| {what} | {cells} | {curve['as shipped']:.2f} | {bends} |")
    return lines


def draw(figures: dict[str, Any], path: Path) -> None:
    """The curves, both axes by factors, as SVG."""
    curves = figures["curves"]
    picture = Figure((10, 5.6), layout="constrained")
    axes = picture.subplots(2, 3, sharey=True)
    for axis, (what, curve) in zip(axes.flat, curves.items(), strict=True):
        points = [(int(value), took) for value, took in curve.items() if value != "as shipped"]
        axis.plot(*zip(*points, strict=True), "o-")
        axis.axhline(curve["as shipped"], color="0.7", linewidth=1)
        axis.set_xscale("log", base=2)
        axis.set_yscale("log", base=2)
        axis.set_xticks([value for value, _ in points], [str(value) for value, _ in points])
        axis.yaxis.set_major_formatter("{x:g}")
        axis.set_title(what, fontsize=10)
    picture.supylabel(f"one inference [ms], {THREADS} threads; grey: as it ships")
    picture.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--out", type=Path, help="also written as JSON")
    args = parser.parse_args()
    figures = measure(args.rounds)
    show(table(figures), figures, args.out)


if __name__ == "__main__":
    sys.exit(exit_code(main))
