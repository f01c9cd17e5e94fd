"""Recordings in Rerun (https://rerun.io): pictures, curves and what happened, each episode over its own time.

<recording>/<episode>/camera/<name>        pictures, as JPEG
                     /state/<name>         what is measured
                     /action/<name>        set-points
                     /contact  /mode       0 or 1; the place in MODES
                     /instruction          words
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from policy.data.bag_reader import Pictures, Take
from policy.data.runs import Part, Run
from policy.data.stored import StoredRecording
from policy.errors import InputError
from policy.looking.recording import thumbnail
from policy.robot.contract import Contract

EDGE = 256  # pixels, the longer edge of a picture
TIMELINE = "time"


def package() -> Any:
    """The package `rerun`; `InputError` that names what to install where it is missing."""
    try:
        import rerun
    except ImportError as error:
        raise InputError(
            f"--rerun needs the package rerun-sdk ({error}); install it with `pip install -e '.[rerun]'`, "
            "or leave --rerun out: the page needs nothing"
        ) from None
    return rerun


def stream(stored: Sequence[StoredRecording], contract: Contract, file: Path | None) -> int:
    """Send every episode to Rerun's viewer, or to an .rrd file; how many. What cannot be read is passed over."""
    rerun, sent = package(), 0
    rerun.init("midstream", spawn=file is None)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        rerun.save(file)
    for one in stored:
        pictures: list[dict[str, bytes]] = []
        try:
            found = one.read(contract, partial(_keep, pictures))
        except InputError:
            continue
        parts = [(run, part) for run in found.runs for part in run.parts]
        for number, (run, part) in enumerate(parts, 1):
            _send(rerun, f"{one.name}/{number}", contract, run, part, pictures)
        sent += len(parts)
    rerun.disconnect()  # what is on the way is written first
    return sent


def _keep(kept: list[dict[str, bytes]], _: int) -> Take:
    def take(pictures: Pictures) -> None:
        kept.append({camera: thumbnail(picture, EDGE) for camera, picture in pictures.items()})

    return take


def _send(
    rerun: Any, root: str, contract: Contract, run: Run, part: Part, pictures: Sequence[dict[str, bytes]]
) -> None:
    frames = slice(part.first, part.end)
    seconds = (run.stamps[frames] - run.stamps[part.first]) * 1e-9

    def curve(path: str, values: np.ndarray) -> None:
        times = rerun.TimeColumn(TIMELINE, duration=seconds)
        rerun.send_columns(f"{root}/{path}", [times], rerun.Scalars.columns(scalars=values.astype(float)))

    for group, names, values in (
        ("state", contract.spec.state, run.state[frames]),
        ("action", contract.spec.action, run.actions[frames]),
    ):
        for i, name in enumerate(names):
            curve(f"{group}/{name}", values[:, i])
    for name, marks in (("contact", run.contact), ("mode", run.mode)):
        if marks is not None:
            curve(name, marks[frames])
    last = -1
    for time, place in zip(seconds, run.pictures[frames], strict=True):
        rerun.set_time(TIMELINE, duration=float(time))
        if last < 0:
            rerun.log(f"{root}/instruction", rerun.TextLog(part.instruction))
        if place != last:
            for camera, jpeg in pictures[place].items():
                rerun.log(f"{root}/camera/{camera}", rerun.EncodedImage(contents=jpeg, media_type="image/jpeg"))
        last = int(place)
