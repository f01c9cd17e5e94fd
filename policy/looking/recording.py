"""What is looked at of a recording: its episodes with a few small pictures each, and what was found."""

from dataclasses import dataclass, field

import cv2
import numpy as np

from policy.data.bag_reader import Pictures, Take
from policy.data.check_chunks import check_chunks
from policy.data.contents import Contents
from policy.data.findings import Finding
from policy.data.recording import FAILED
from policy.data.runs import Part, Run
from policy.data.stored import StoredRecording
from policy.errors import InputError
from policy.robot.contract import Contract

PICTURES = 8  # of an episode
KEPT = 400  # pictures of a recording from which they are taken
EDGE = 112  # pixels, the longer edge of a small picture
QUALITY = 70  # of its JPEG


@dataclass
class LookedEpisode:
    """One episode; T frames."""

    recording: str
    number: int  # in its recording
    instruction: str
    task: str
    seconds: np.ndarray  # (T,) from its first frame
    state: np.ndarray  # (T, S)
    actions: np.ndarray  # (T, A)
    contact: np.ndarray | None  # (T,) bool
    mode: np.ndarray | None  # (T,) into MODES
    pictures: list[bytes]  # JPEG, in the order of time

    @property
    def kind(self) -> str:
        """What it is compared with: its task, or its instruction where no task is labelled."""
        return self.task or self.instruction


@dataclass
class LookedRecording:
    """A recording: its episodes, or why training would refuse it and what it holds."""

    name: str
    episodes: list[LookedEpisode] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    refused: bool = False  # it cannot be read by the contract
    contents: Contents | None = None  # of a refused one, where it can be read at all


def look_at(stored: StoredRecording, contract: Contract) -> LookedRecording:
    """Read a recording as training does; it is refused nowhere, only shown with what is known of it."""
    small: dict[int, bytes] = {}
    first = next(iter(contract.cameras))

    def begin(most: int) -> Take:
        stride, frames = max(1, most // KEPT), 0

        def take(pictures: Pictures) -> None:
            nonlocal frames
            if frames % stride == 0:
                small[frames] = thumbnail(pictures[first])
            frames += 1

        return take

    try:
        found = stored.read(contract, begin)
    except InputError as error:
        refused = Finding("error", "cannot be used", str(error), "")
        return LookedRecording(stored.name, findings=[refused], refused=True, contents=_contents(stored))
    failed = [FAILED] if found.success is False else []
    parts = [(run, part) for run in found.runs for part in run.parts]
    episodes = [_episode(stored.name, i, run, part, small) for i, (run, part) in enumerate(parts)]
    return LookedRecording(stored.name, episodes, [*failed, *found.findings, *check_chunks(contract, found.runs)])


def thumbnail(picture: np.ndarray, edge: int = EDGE) -> bytes:
    """A picture (h, w, 3) uint8 RGB, or distances (h, w, 1) [m], as a JPEG whose longer edge has `edge` pixels."""
    if picture.dtype != np.uint8:
        known = picture[picture > 0]
        near, far = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        picture = np.clip(255 * (picture - near) / max(far - near, 1e-6), 0, 255).astype(np.uint8)
    scale = edge / max(picture.shape[:2])
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    resized = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    colours = resized if resized.ndim == 2 else cv2.cvtColor(resized, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1])


def _episode(name: str, number: int, run: Run, part: Part, small: dict[int, bytes]) -> LookedEpisode:
    first, end = part.first, part.end
    rows = sorted(set(run.pictures[first:end].tolist()) & small.keys())
    chosen = [rows[i] for i in np.linspace(0, len(rows) - 1, min(PICTURES, len(rows))).round().astype(int)]
    stamps = run.stamps[first:end]
    return LookedEpisode(
        name,
        number,
        part.instruction,
        part.task or "",
        (stamps - stamps[0]) * 1e-9,
        run.state[first:end],
        run.actions[first:end],
        None if run.contact is None else run.contact[first:end],
        None if run.mode is None else run.mode[first:end],
        [small[row] for row in chosen],
    )


def _contents(stored: StoredRecording) -> Contents | None:
    try:
        return stored.contents(lambda _: None)
    except InputError:
        return None
