"""Recordings in another format: `python -m policy.convert bags --contract tabletop --to lerobot --out data/mine`.

It writes what training reads of them: frames, actions and labels at the contract's rate, pictures as PNG or, with
`--video`, as H.264. What the format cannot hold is printed. docs/lerobot.md names each column.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from policy.data import cached_bag
from policy.data.bags import summary
from policy.data.findings import errors, merge
from policy.data.lerobot.writer import DataSetWriter
from policy.data.pictures import Pictures
from policy.data.runs import Run
from policy.data.sources import find, passed_over
from policy.errors import InputError, exit_code
from policy.robot import contract as contracts
from policy.robot.contract import Contract

UNEVEN = 0.25  # of a step: from where on a frame is off an even grid, and how far the rate may be from the contract's
WRITERS: dict[str, Callable[[Path, Contract, bool], DataSetWriter]] = {"lerobot": DataSetWriter}


def convert(bags: Path, out: Path, contract: Contract, to: str = "lerobot", video: bool = False) -> list[str]:
    """Write all recordings of a folder; returns sentences on what was written and what the format does not hold.

    `InputError`, and nothing written, where a recording does not fit or would be learned wrongly.
    """
    found, commands, uneven, wrong, dropped = find(bags), 0, 0, [], Counter[str]()
    with WRITERS[to](out, contract, video) as data:
        for stored in tqdm(found, unit="recording", desc="converting"):
            folder = data.scratch
            data.guarded(partial(cached_bag.write, stored, contract, None, folder))
            cached = cached_bag.read(folder, contract, None)
            assert cached is not None
            recorded = cached.recording
            if bad := errors(recorded.findings):
                raise InputError(f"{stored.name} would be learned wrongly: {bad[0]}; `python -m policy.check` has more")
            dropped += recorded.dropped
            wrong += [(stored.name, finding) for finding in recorded.findings]
            for run in recorded.runs:
                _check_rate(stored.name, run, contract)
                commands += max(len(group.times) for group in run.commands)
                uneven += _uneven(run, contract)
                images = {
                    name: Pictures([folder / f"image_{name}.bin"], [np.arange(run.pictures[-1] + 1)], c.shape, c.dtype)
                    for name, c in contract.cameras.items()
                }
                data.episode(run, images, recorded.success, recorded.sources)
    for finding in [*merge(wrong), *passed_over(bags)]:
        print(f"{finding.severity}: {finding}", file=sys.stderr)
    return _sentences(out, data.episodes, data.frames, commands, uneven, dropped)


def _check_rate(name: str, run: Run, contract: Contract) -> None:
    """A data set has frames at one rate."""
    step = float(np.median(np.diff(run.stamps))) * 1e-9 if len(run.stamps) > 1 else 1 / contract.rate
    if abs(step * contract.rate - 1) > UNEVEN:
        raise InputError(
            f"{name} has a frame every {step:.3g} s, and the contract's rate is {contract.rate:g} Hz: the format takes "
            f"frames for evenly spaced; give `rate: {round(1 / step)}` in the contract"
        )


def _uneven(run: Run, contract: Contract) -> int:
    """How many frames are off the even grid on which the format takes them to be."""
    even = run.stamps[0] + np.arange(len(run.stamps)) * contract.spec.dt_ns
    return int((np.abs(run.stamps - even) > UNEVEN * contract.spec.dt_ns).sum())


def _sentences(out: Path, episodes: int, frames: int, commands: int, uneven: int, dropped: Counter[str]) -> list[str]:
    written = [
        f"{out}: {episodes} episodes, {frames} frames",
        f"not in it: commands between frames ({commands} set-points became {frames} actions, one a frame), pictures "
        "between frames, frames without an instruction, joint velocities and efforts, and messages that the contract "
        "does not read",
    ]
    if dropped:
        written.append(f"not used: {summary(dropped)}")
    if uneven:
        written.append(
            f"{uneven} frames are off an even grid by more than a quarter of a step: `timestamp` is frame_index / fps "
            "all the same, and their real times are in midstream.stamp"
        )
    return written


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m policy.convert", description=__doc__.split("\n")[0])
    parser.add_argument("bags", type=Path, help="folder of rosbag2 recordings or LeRobot data sets")
    parser.add_argument("--contract", default="tabletop", help="a name in policy/contracts, or a YAML file")
    parser.add_argument("--to", choices=WRITERS, required=True, help="the format")
    parser.add_argument("--out", type=Path, required=True, help="folder for the data set")
    parser.add_argument("--video", action="store_true", help="pictures as H.264 instead of PNG: smaller, and not exact")
    args = parser.parse_args()
    print("\n".join(convert(args.bags, args.out, contracts.load(args.contract), args.to, args.video)))


if __name__ == "__main__":
    sys.exit(exit_code(main))
