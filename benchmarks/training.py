"""Training from bags beside LeRobot's ACT: samples a second, waiting for data, and random windows of both data sets.

    python -m benchmarks.training          after `make lerobot`

    training   policy.train of the recipe `chunk` from bags, with one process and with two; and one training step of
               LeRobot's ACT from scratch on a batch of equal pictures that is in memory already: it reads no data
    windows    random windows of a chunk, one process: our batches, and LeRobotDataset on the same frames (PNG)

All with as many threads as there are cores.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.child import tied
from benchmarks.peer import Peer
from benchmarks.results import show
from policy.convert import convert
from policy.data.cache import open_cache
from policy.errors import InputError, exit_code
from policy.learning import checkpoint, recipe
from policy.learning.batches import Batches, picture_size
from policy.robot.contract import load
from policy.running.text import Text

RECIPE, TASKS, EPISODES = "chunk", "open_drawer,slider_left,lamp_on,put_red", 8
STEPS, WINDOWS, TURNS = 3, 300, 3  # of ACT, of LeRobot's data set, of each
CORES = os.cpu_count() or 1


def run(*command: object, threads: int = CORES) -> None:
    """One command of ours; `InputError` with what it printed where it fails."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    given = [sys.executable, "-m", *map(str, command)]
    done = subprocess.run(tied(given), env=environment, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"{' '.join(given)} failed: {done.stderr[-2000:]}")


def training(bags: Path, samples: int, out: Path, processes: int) -> dict[str, float]:
    """Samples a second of a run, and which share of its time no batch was ready."""
    command = ["policy.train", "--recipe", RECIPE, "--bags", bags, "--samples", samples, "--out", out]
    if processes > 1:
        launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", processes, "-m"]
        run(*launcher, *command, threads=max(1, CORES // processes))
    else:
        run(*command)
    found = checkpoint.latest(out)
    assert found is not None
    state = checkpoint.read_state(found)
    return {"samples_s": state["samples"] / state["seconds"], "waiting": state["waited"] / state["seconds"]}


def windows(bags: Path) -> tuple[float, int]:
    """Random windows a second of our batches, whose size it gives as well."""
    chosen, contract = recipe.load(RECIPE), load("tabletop")
    batches = Batches(open_cache(bags, contract, picture_size(chosen), read=Text().read), chosen)
    rng, size, frames = np.random.default_rng(0), chosen.training.batch_size, len(batches.cache.state)
    batches.gather(rng.integers(0, frames, size))
    began, count = perf_counter(), 40
    for _ in range(count):
        batches.gather(rng.integers(0, frames, size))
    return count * size / (perf_counter() - began), size


def measure(samples: int) -> dict[str, Any]:
    """All figures; the ways take turns."""
    contract = load("tabletop")
    spec = contract.spec
    found: dict[str, list[Any]] = {
        "one process": [],
        "two processes": [],
        "ACT": [],
        "windows": [],
        "LeRobotDataset": [],
    }
    with tempfile.TemporaryDirectory() as name, Peer() as peer:
        folder = Path(name)
        run("sim.record", "--tasks", TASKS, "--episodes", EPISODES, "--plain", "--out", folder / "bags")
        convert(folder / "bags", folder / "lerobot", contract)
        size = next(iter(spec.cameras.values()))[0]
        robot = {"cameras": len(spec.cameras), "size": size, "state": len(spec.state), "action": len(spec.action)}
        peer.ask(build="act", **robot, chunk=spec.horizon, threads=CORES)
        peer.ask(open=str(folder / "lerobot"), chunk=spec.horizon, rate=contract.rate)
        for turn in range(TURNS):
            print(f"turn {turn + 1} of {TURNS}", file=sys.stderr, flush=True)
            rate, batch = windows(folder / "bags")
            found["windows"].append(rate)
            found["LeRobotDataset"].append(WINDOWS / peer.ask(windows=WINDOWS))
            found["ACT"].append(batch / float(np.median(peer.ask(learn=STEPS, batch=batch))))
            for processes, way in ((1, "one process"), (2, "two processes")):
                found[way].append(training(folder / "bags", samples, folder / f"{processes}_{turn}", processes))
    figures: dict[str, Any] = {
        way: {key: float(np.median([one[key] for one in found[way]])) for key in ("samples_s", "waiting")}
        for way in ("one process", "two processes")
    }
    figures |= {way: float(np.median(found[way])) for way in ("ACT", "windows", "LeRobotDataset")}
    return figures | {"batch": batch, "pictures": f"{len(spec.cameras)} of {size}x{size}"}


def table(figures: dict[str, Any]) -> list[str]:
    """Each figure beside its yardstick."""
    lines = [f"| batch {figures['batch']}, pictures {figures['pictures']} | a second | | waiting for data |"]
    lines += [
        "| --- | --- | --- | --- |",
        f"| one step of LeRobot's ACT on a batch in memory | {figures['ACT']:.1f} samples | 1 | |",
    ]
    for way in ("one process", "two processes"):
        one = figures[way]
        ratio = one["samples_s"] / figures["ACT"]
        lines.append(
            f"| `policy.train`, {way} | {one['samples_s']:.0f} samples | {ratio:.1f} x | {one['waiting']:.1%} |"
        )
    lines.append(f"| random windows of LeRobotDataset | {figures['LeRobotDataset']:.0f} windows | 1 | |")
    ratio = figures["windows"] / figures["LeRobotDataset"]
    lines.append(f"| random windows of our batches | {figures['windows']:.0f} windows | {ratio:.0f} x | |")
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=12_800, help="windows of each training")
    parser.add_argument("--out", type=Path, help="also written as JSON")
    args = parser.parse_args()
    figures = measure(args.samples)
    show(table(figures), figures, args.out)


if __name__ == "__main__":
    sys.exit(exit_code(main))
