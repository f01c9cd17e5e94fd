"""Bag to cache, beside what anyone would write: `rosbags` reading, OpenCV decoding and resizing, nothing kept.

    python -m benchmarks.ingest --minutes 1 2 4
    python -m benchmarks.ingest --minutes 20 --folder /where/there/is/space        about 2 GB

The bags have two 640x480 JPEG cameras and joints at 30 Hz (contract so101). Ours reads a bag twice, checks clocks and
motion, aligns frames and writes 96x96 pictures; the yardstick deserialises every message and makes pictures of that
size. Each run is a process of its own with one thread, the ways take turns. Peak memory is to stay as the bag grows.
"""

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, NamedTuple

import cv2
import numpy as np
from rosbags.highlevel import AnyReader

from policy.data import sources
from policy.data.bag_writer import EpisodeWriter, channels
from policy.data.cached_bag import write
from policy.data.raw import TYPES
from policy.errors import InputError, exit_code
from policy.robot.contract import load
from policy.robot.message_types import COMPRESSED

ROBOT, SIZE, TURNS = "so101", 96, 3
BEGIN = 1_000_000_000  # ns
QUALITY = 80  # of the JPEGs
VIEWS = 90  # different pictures of a camera, again and again


def make_bag(path: Path, minutes: float) -> None:
    """A bag of an arm that moves, in front of pictures that change."""
    contract, types = load(ROBOT), TYPES.types
    views, dt, limits = _views(), contract.spec.dt_ns, contract.limits
    middle, reach = 0.5 * (limits.low + limits.high), 0.1 * (limits.high - limits.low)
    joints, layout = list(contract.spec.state), types["std_msgs/msg/MultiArrayLayout"]([], 0)
    with EpisodeWriter(path, channels(contract)) as bag:
        bag.write(contract.instruction, types["std_msgs/msg/String"]("open the drawer"), BEGIN)
        for i in range(int(minutes * 60 * contract.rate)):
            now = BEGIN + i * dt
            header = types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](*divmod(now, 10**9)), "")
            at = (middle + reach * np.sin(0.02 * i + np.arange(len(joints)))).astype(np.float64)
            none = np.zeros(0)
            bag.write(contract.state[0].topic, types["sensor_msgs/msg/JointState"](header, joints, at, none, none), now)
            command = types["std_msgs/msg/Float64MultiArray"](layout, at)
            bag.write(contract.action[0].source.topic, command, now)
            for k, camera in enumerate(contract.cameras.values()):
                jpeg = views[(i + k * VIEWS // 2) % VIEWS]
                bag.write(camera.topic, types[COMPRESSED](header, "rgb8; jpeg compressed bgr8", jpeg), now)


def _views() -> list[np.ndarray]:
    """JPEGs (n,) uint8 of something round that moves before a rough wall."""
    camera, rng = next(iter(load(ROBOT).cameras.values())), np.random.default_rng(0)
    wall = cv2.resize(rng.integers(60, 200, (60, 80, 3), np.uint8), (camera.width, camera.height))
    wall = cv2.add(wall, rng.integers(0, 16, wall.shape, np.uint8))
    views = []
    for i in range(VIEWS):
        place = (int(camera.width * (i + 0.5) / VIEWS), camera.height // 2)
        picture = cv2.circle(wall.copy(), place, 60, (30, 30, 220), -1)
        views.append(cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))[1].reshape(-1))
    return views


def ours(bag: Path, folder: Path) -> int:
    """Into a cache, as training does it; how many frames."""
    contract = load(ROBOT)
    (stored,) = sources.find(bag)
    write(stored, contract, SIZE, folder)
    with np.load(folder / "frames.npz") as arrays:
        return sum(len(arrays[name]) for name in arrays if name.endswith("_stamps"))


def plain(bag: Path, folder: Path) -> int:
    """Deserialise, decode, resize, forget; how many pictures of the first camera."""
    topics = [camera.topic.lstrip("/") for camera in load(ROBOT).cameras.values()]
    pictures = 0
    with AnyReader([bag]) as reader:
        for connection, _, raw in reader.messages():
            found = reader.deserialize(raw, connection.msgtype)
            if connection.topic.lstrip("/") in topics:
                image = cv2.imdecode(found.data, cv2.IMREAD_COLOR)  # type: ignore[attr-defined]  # an image
                assert image is not None
                cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
                pictures += connection.topic.lstrip("/") == topics[0]
    return pictures


WAYS: dict[str, Callable[[Path, Path], int]] = {"ours": ours, "plain": plain}


class Run(NamedTuple):
    """One way through one bag, in a process of its own."""

    seconds: float
    cpu_seconds: float
    peak_mb: float  # of the process
    frames: int


def run(name: str, bag: Path) -> Run:
    """In a fresh process: do it and measure."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(dir=bag.parent) as folder:
        began, used = perf_counter(), process_time()
        frames = WAYS[name](bag, Path(folder) / "cache")
        took = perf_counter() - began, process_time() - used
    return Run(*took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, frames)


def table(figures: list[dict[str, Any]]) -> list[str]:
    """Megabytes of bag a second of the processor and peak memory, by the length of the bag."""
    lines = ["| minutes | MB | ours, yardstick [MB/s] | | peak memory, of the yardstick [MB] |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for row in figures:
        ours, plain = row["cpu_rate"]["ours"], row["cpu_rate"]["plain"]
        memory = f"{row['peak_mb']['ours']:.0f}, {row['peak_mb']['plain']:.0f}"
        rates = f"{ours:.1f}, {plain:.1f} | {ours / plain:.2f}x"
        lines.append(f"| {row['minutes']:g} | {row['megabytes']:.0f} | {rates} | {memory} |")
    return [*lines, "", "Megabytes of bag a processor second, one thread each."]


def main() -> None:
    """Make the bags, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, nargs="+", default=[0.5, 1.0, 2.0], help="lengths of the bags")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--folder", type=Path, help="where the bags are made; a temporary one by default")
    parser.add_argument("--out", type=Path, help="also written as JSON")
    args = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # which the new processes inherit
    rows, context = [], multiprocessing.get_context("spawn")
    print("             MB of bag a second (a CPU second)        peak memory [MB]")
    print("minutes   MB  ours           plain           ratio     ours  plain")
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for minutes in args.minutes:
            bag = Path(folder) / f"{minutes:g}_minutes"
            make_bag(bag, minutes)
            size = sum(file.stat().st_size for file in bag.iterdir()) / 1e6
            runs: dict[str, list[Run]] = {name: [] for name in WAYS}
            for _ in range(args.turns):
                for name in WAYS:
                    with context.Pool(1, maxtasksperchild=1) as pool:
                        runs[name].append(pool.apply(run, (name, bag)))
            if len({one.frames for way in runs.values() for one in way}) != 1:
                raise InputError(f"{bag}: the ways found different frames: {runs}")
            wall = {name: size / median(one.seconds for one in way) for name, way in runs.items()}
            cpu = {name: size / median(one.cpu_seconds for one in way) for name, way in runs.items()}
            peak = {name: max(one.peak_mb for one in way) for name, way in runs.items()}
            print(
                f"{minutes:7g} {size:5.0f}  {wall['ours']:5.1f} ({cpu['ours']:5.1f})  {wall['plain']:5.1f} "
                f"({cpu['plain']:5.1f})  {wall['ours'] / wall['plain']:.2f} ({cpu['ours'] / cpu['plain']:.2f})  "
                f"{peak['ours']:5.0f}  {peak['plain']:5.0f}",
                flush=True,
            )
            rows.append({"minutes": minutes, "megabytes": size, "rate": wall, "cpu_rate": cpu, "peak_mb": peak})
            shutil.rmtree(bag)
    if args.out:
        args.out.write_text(json.dumps(rows) + "\n")


if __name__ == "__main__":
    sys.exit(exit_code(main))
