"""A bag as frames and episodes: its messages pass the same streams as a live robot's.

    pass 1   times of all messages -> the clocks agree, or header stamps are moved, or the bag is refused
    pass 2   messages -> frames; their pictures are handed on at once, all else is kept and grouped at the end

A bag without an instruction of its own has that of `bags.yaml` beside it, of its metadata or of the contract; one that
is marked as a failure is not read (policy.data.bag_notes). Frames before the first instruction or the first command are
not used. `actions[t]` is the set-point in force at `stamps[t] + dt`.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from policy.data import check_episodes, checks, clocks
from policy.data.bag_files import custom_data
from policy.data.bag_notes import notes, told_otherwise
from policy.data.bag_reader import BagReader, Said, Take
from policy.data.bags import messages, summary
from policy.data.checks import Recorded
from policy.data.findings import Finding
from policy.data.raw import CUT_OFF
from policy.data.runs import Run, Runs
from policy.data.survey import Times, survey
from policy.data.unchanged_pictures import UnchangedPictures
from policy.errors import InputError
from policy.robot.contract import CORRECTION, LABEL_TYPES, Contract
from policy.robot.message_types import BOOL, STRING

FAILED = Finding(
    "warning",
    "a recording that failed is not used",
    "it is marked with success: false",
    "set success: true in bags.yaml beside it if it is to be learned, or train a recipe with return_to_go",
)
CORRECTED = Finding(
    "warning",
    "corrections are not told from what the policy did",
    f"it has {CORRECTION}, which the contract does not name, so that all of it is imitated, mistakes too",
    f"write `labels: {{correction: {CORRECTION}}}` into the contract",
)
INSTRUCT = "name it in bags.yaml beside the bag, or give `default_instruction` in the contract"


@dataclass(slots=True)
class Recording:
    """One bag."""

    runs: list[Run]
    sources: tuple[str, ...]  # the recordings that it was made of, itself where it was made of none
    findings: list[Finding]
    success: bool | None = None  # what it is marked with
    dropped: Counter[str] = field(default_factory=Counter)


def read(bag: Path, contract: Contract, begin: Callable[[int], Take]) -> Recording:
    """Read a bag; `begin` gets the most frames that there can be, and what it returns the pictures of each, in order.

    `InputError` if a topic of the contract is missing or has another type, its clocks drift apart, or nothing fits.
    """
    note = notes(bag)
    wanted = _wanted(contract)
    topics, dropped = survey(bag, wanted)
    if not topics and dropped[CUT_OFF]:
        raise InputError(f"{bag} is cut off, and nothing of it that the contract reads is whole; take it away")
    alignment, findings = clocks.align(bag.name, contract, {name: t.arrays() for name, t in topics.items()})
    lead = topics.get(next(iter(contract.cameras.values())).topic.lstrip("/"), Times())
    pictures = UnchangedPictures(begin(_most_frames(lead, contract.rate)))
    reader = BagReader(contract, alignment, pictures.take)
    for raw in messages(bag, wanted, Counter()):
        reader.push(raw)
    reader.finish()
    instruction = contract.instruction.lstrip("/")
    if instruction not in reader.texts and (text := note.instruction or contract.default_instruction):
        reader.texts[instruction] = [Said(min((one.stamp for one in reader.frames), default=0) - 1, text)]
    cut = bool(dropped[CUT_OFF])
    groups = Runs(contract, reader, cut)
    runs = groups.grouped()
    unused = reader.dropped + groups.dropped
    said = [(one.stamp, one.value) for one in reader.texts.get(instruction, [])]
    restarts = len(reader.commands) - 1
    findings += checks.check(
        contract, Recorded(topics, alignment, dict(dropped), unused, said, pictures.unchanged(), runs, restarts)
    )
    if (told := told_otherwise(bag, said)) is not None:
        findings.append(told)
    if not contract.labels.correction and CORRECTION in topics:
        findings.append(CORRECTED)
    dropped += unused
    if not cut:
        _check_topics(bag, contract, {*topics, *reader.texts})
        if not runs:
            most = next(iter(dropped.most_common(1)), ("", 0))[0]
            do = check_episodes.remedy(most) or "correct the contract or take the bag away"
            raise InputError(f"{bag} holds nothing that fits the contract: {summary(dropped) or 'no frame'}; {do}")
    return Recording(runs, sources(bag), findings, note.success, dropped)


def sources(bag: Path) -> tuple[str, ...]:
    """The recordings that a bag was made of, itself where it was made of none."""
    return tuple(str(custom_data(bag).get("from", bag.absolute().name)).split(","))


def _most_frames(lead: Times, rate: float) -> int:
    """A bound on the frames: each needs an image, and no two are closer than 7/8 of a step."""
    received, header = lead.arrays()
    # of each run of the clock, should it have been set back
    seconds = max(float(np.diff(times[times != 0]).clip(0).sum()) for times in (received, header)) * 1e-9
    return min(len(received), int(1.25 * seconds * rate) + 16)


def _wanted(contract: Contract) -> dict[str, str]:
    """Topic without leading slash -> type, of all that is read."""
    optional = {getattr(contract.labels, label): kind for label, kind in LABEL_TYPES.items()}
    read = _needed(contract) | {t.lstrip("/"): kind for t, kind in optional.items() if t}
    return read if contract.labels.correction else {CORRECTION: BOOL} | read  # to be missed


def _needed(contract: Contract) -> dict[str, str]:
    needed = {**contract.observed, **contract.commanded, contract.instruction: STRING}
    return {t.lstrip("/"): kind for t, kind in needed.items()}


def _check_topics(bag: Path, contract: Contract, seen: set[str]) -> None:
    instruction = contract.instruction.lstrip("/")
    missing = [t for t in _needed(contract) if t not in seen]
    if missing:
        raise InputError(
            f"{bag} has no message on {', '.join(missing)}, which the contract asks for; "
            f"of its topics it has {', '.join(sorted(seen)) or 'none'}; "
            + ("record the topic or correct the contract" if missing != [instruction] else INSTRUCT)
        )
