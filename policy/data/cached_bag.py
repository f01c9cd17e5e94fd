"""One recording in the cache: a folder that is written in pieces, and is there whole or not at all.

image_<camera>.bin   every frame's picture as its camera gives it, in the order of the frames
frames.npz           all else of the frames that are used, and the commands at their own rate
bag.json             where it was recorded, its instructions, what was found and what was dropped
"""

import json
import shutil
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from policy.data.bag_reader import Pictures
from policy.data.check_chunks import check_chunks
from policy.data.findings import Finding
from policy.data.pictures import PictureFile, Resizer
from policy.data.recording import Recording
from policy.data.runs import Part, Run
from policy.data.stored import StoredRecording
from policy.robot.contract import Contract
from policy.robot.setpoints import SetPoints

RUN_FIELDS = ("pictures", "stamps", "state", "actions", "contact", "mode", "correction")


@dataclass(slots=True)
class CachedBag:
    """What the cache holds of one bag."""

    name: str  # below the folder of bags
    pictures: dict[str, PictureFile]  # of each camera
    recording: Recording


def write(stored: StoredRecording, contract: Contract, size: int | None, folder: Path) -> None:
    """Read a recording into `folder`; `InputError` if it does not fit, OSError if the disk does not hold it."""
    unfinished = aside(folder)
    shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was killed
    unfinished.mkdir(parents=True)
    try:
        before = stored.mark()
        with ExitStack() as stack:
            files = {
                camera: stack.enter_context((unfinished / f"image_{camera}.bin").open("wb"))
                for camera in contract.cameras
            }
            resized = Resizer(size) if size else None

            def take(pictures: Pictures) -> None:
                for camera, image in pictures.items():
                    files[camera].write(np.ascontiguousarray(resized(image) if resized else image).data)

            found = stored.read(contract, lambda most: take)
        np.savez(unfinished / "frames.npz", **_arrays(found.runs))  # type: ignore[arg-type]  # no other keywords
        described = {
            "name": stored.name,
            "mark": before,
            "sources": found.sources,
            "success": found.success,
            "dropped": found.dropped,
            "findings": [asdict(one) for one in found.findings],
            "runs": [[asdict(part) for part in run.parts] for run in found.runs],
        }
        (unfinished / "bag.json").write_text(json.dumps(described))
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def aside(folder: Path) -> Path:
    """Where a bag's folder is written until it is whole."""
    return folder.with_suffix(".part")


def described(folder: Path) -> dict[str, Any] | None:
    """bag.json; None where it is not there or not whole."""
    try:
        found = json.loads((folder / "bag.json").read_text())
        return found if isinstance(found, dict) else None
    except (OSError, ValueError):
        return None


def read(folder: Path, contract: Contract, size: int | None) -> CachedBag | None:
    """What was written; None where a part of it is missing."""
    about = described(folder)
    try:
        if about is None:
            return None
        with np.load(folder / "frames.npz") as arrays:
            runs = [_run(arrays, r, len(contract.action), parts) for r, parts in enumerate(about["runs"])]
        pictures = 1 + max((int(run.pictures.max()) for run in runs), default=-1)
        files = {name: PictureFile(folder / f"image_{name}.bin") for name in contract.cameras}
        for name, camera in contract.cameras.items():
            height, width, channels = camera.shape
            row = camera.dtype.itemsize * channels * (size * size if size else height * width)
            if files[name].size < pictures * row:
                return None
        findings = [*(Finding(**one) for one in about["findings"]), *check_chunks(contract, runs)]
        sources, dropped = tuple(about["sources"]), Counter(about["dropped"])
        return CachedBag(about["name"], files, Recording(runs, sources, findings, about["success"], dropped))
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
        return None


def _arrays(runs: list[Run]) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for r, run in enumerate(runs):
        arrays |= {f"{r}_{name}": value for name in RUN_FIELDS if (value := getattr(run, name)) is not None}
        for g, group in enumerate(run.commands):
            arrays |= {f"{r}_{g}_{name}": value for name, value in group._asdict().items()}
    return arrays


def _run(arrays: Any, r: int, groups: int, parts: list[dict[str, Any]]) -> Run:
    fields = {name: arrays.get(f"{r}_{name}") for name in RUN_FIELDS}
    commands = [SetPoints(*(arrays[f"{r}_{g}_{name}"] for name in SetPoints._fields)) for g in range(groups)]
    return Run(**fields, commands=commands, parts=[Part(**part) for part in parts])
