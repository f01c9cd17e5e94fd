"""One recording, read as training reads it, with nothing kept but what was found."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from policy.data.bag_reader import Pictures, Take
from policy.data.check_chunks import check_chunks
from policy.data.findings import Finding
from policy.data.recording import FAILED
from policy.data.stored import StoredRecording
from policy.errors import InputError
from policy.robot.contract import Contract


@dataclass(slots=True)
class CheckedBag:
    """What training would make of a bag."""

    name: str
    findings: list[Finding]
    frames: int = 0
    seconds: float = 0.0
    instructions: list[str] = field(default_factory=list)  # of each episode


def check_bag(stored: StoredRecording, contract: Contract, seen: Callable[[int, int], None]) -> CheckedBag:
    """Read a recording by a contract; `seen` gets the frames so far and the most that there can be."""

    def begin(most: int) -> Take:
        frames = 0

        def take(_: Pictures) -> None:
            nonlocal frames
            frames += 1
            seen(frames, most)

        return take

    try:
        found = stored.read(contract, begin)
    except InputError as error:
        return CheckedBag(stored.name, [Finding("error", "cannot be used", str(error), "")])
    if found.success is False:
        return CheckedBag(stored.name, [FAILED])
    return CheckedBag(
        stored.name,
        [*found.findings, *check_chunks(contract, found.runs)],
        sum(len(run.stamps) for run in found.runs),
        sum(float(np.ptp(run.stamps)) * 1e-9 for run in found.runs),
        [part.instruction for run in found.runs for part in run.parts],
    )
