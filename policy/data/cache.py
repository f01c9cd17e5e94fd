"""What training reads: a cache of decoded frames beside the bags.

    <bags>/.cache/<key of all that decides how a bag is read>/
        <bag>-<hash of its name>/   one bag (policy.data.cached_bag)

Each bag is there whole or not at all, so that an interrupted run goes on where it was. A bag that was added or
changed costs only itself, and one that was removed is taken out.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Container, Iterator
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from policy.data import cached_bag, findings, sources, workers
from policy.data.bags import summary
from policy.data.cached_bag import CachedBag
from policy.data.check_sentences import check_sentences
from policy.data.findings import Finding
from policy.data.pictures import HELD_FILES, Pictures
from policy.data.recording import FAILED, Recording
from policy.data.stored import StoredRecording
from policy.errors import InputError
from policy.robot.contract import Contract
from policy.robot.setpoints import SetPoints

FORMAT = 6  # of the files, and of how a bag is read


@dataclass(slots=True)
class Cache:
    """All frames of a folder of bags: N frames of E episodes of R recordings, in the order of time within each."""

    contract: Contract
    images: dict[str, Pictures]  # camera -> (N, height, width, 3 or 1), read from disk
    state: np.ndarray  # float32 (N, S)
    actions: np.ndarray  # float32 (N, A): the set-points in force at stamps + dt
    stamps: np.ndarray  # int64 (N,) ns
    contact: np.ndarray | None  # bool (N,), None unless it is known of all bags
    mode: np.ndarray  # uint8 (N,) into MODES, forward where there is no label
    imitated: np.ndarray  # bool (N,): all frames, but of a recording with corrections only these
    episode: np.ndarray  # int32 (N,)
    bounds: np.ndarray  # int64 (E + 1,): episode e is bounds[e] .. bounds[e + 1]
    instructions: list[str]  # (E,)
    tasks: list[str | None]  # (E,)
    incomplete: np.ndarray  # bool (E,): not carried out: another instruction follows, or it ends on the way
    until: np.ndarray  # int64 (E,) ns: when the next instruction was given
    returns: np.ndarray  # float32 (E,): 1 where the recording is marked as a success, 0 as a failure, else nan
    kept: np.ndarray  # bool (E,): of `keep`, what a policy does already and is not to forget
    bags: list[str]  # (E,) where it was recorded
    sources: list[tuple[str, ...]]  # (E,) the recordings that the bag was made of: itself where it was made of none
    recording: np.ndarray  # int32 (N,): frames of one recording follow each other without a jump of the clock
    commands: list[list[SetPoints]]  # (R,) of each group of the action, at their own rate
    dropped: Counter[str]  # reason -> messages and frames that could not be used
    findings: list[Finding]  # what is wrong with the data


def open_cache(
    bags: Path,
    contract: Contract,
    size: int | None = None,
    processes: int = 2,
    skip_bad: bool = False,
    failures: bool = False,
    read: Callable[[str], object] | None = None,
    keep: Path | None = None,
) -> Cache:
    """Open the cache of a folder of bags, decoding first what it lacks.

    Pictures are kept at `size` x `size`, the size that the policy reads, or as the cameras give them. With `skip_bad`
    bags that cannot be used or have a finding that is an error are left out, and named in a finding. Recordings that
    are marked as failures are left out and named, unless `failures` are asked for. `read` is the sentence encoder and
    raises `InputError` for an instruction that it cannot read. `keep` is a second folder of bags, which come after the
    others and are named with the folder's name before theirs.
    `InputError` if there is no bag, one does not fit the contract, one of the folders gives no frame, or the disk
    fills; what is decoded stays.
    """
    whole, refused = _read(bags, contract, size, processes, skip_bad)
    first_kept = len(whole)
    if keep is not None:
        others, also_refused = _read(keep, contract, size, processes, skip_bad)
        taken = any(name.startswith(f"{keep.name}/") for name in (*refused, *(bag.name for bag in whole)))
        below = str(keep.absolute()) if taken else keep.name
        whole += [_below(below, bag) for bag in others]
        refused |= {f"{below}/{name}": why for name, why in also_refused.items()}
    kept = {bag.name for bag in whole[first_kept:]}
    if read is not None:
        _check_instructions(whole, read)
    if skip_bad:
        refused |= {b.name: wrong[0].what for b in whole if (wrong := findings.errors(b.recording.findings))}
        whole = [bag for bag in whole if bag.name not in refused]
    if not failures:
        whole = [_without_failure(bag) for bag in whole]
    for folder in (bags, keep) if keep is not None else (bags,):
        _check_frames(folder, [bag for bag in whole if (bag.name in kept) == (folder is keep)], refused)
    cache = _joined(contract, size, whole, kept)
    cache.findings += [finding for folder in (bags, keep) if folder for finding in sources.passed_over(folder)]
    if refused:
        figures = "; ".join(f"{name}: {why}" for name, why in sorted(refused.items()))
        cache.findings.append(Finding("warning", "bags are left out", figures, "mend them or take them away"))
    return cache


def _read(
    bags: Path, contract: Contract, size: int | None, processes: int, skip_bad: bool
) -> tuple[list[CachedBag], dict[str, str]]:
    """The bags of a folder, decoded where they were not, and why others cannot be used."""
    base = bags if bags.is_dir() else bags.parent
    found = {recording.name: recording for recording in sources.find(bags)}
    folder = base / ".cache" / key(contract, size)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):  # of several training processes one decodes, the others wait
            if bags.is_dir():  # else these are not all
                _remove_gone(folder, found)
            known = {name: _valid(folder, stored, contract, size) for name, stored in found.items()}
            todo = {name: found[name] for name, bag in known.items() if bag is None}
            if todo and (others := _other_readings(folder)):
                tqdm.write(others, file=sys.stderr)
            refused = _decode(folder, contract, size, todo, processes) if todo else {}
            if refused and not (skip_bad and len(refused) < len(found)):
                raise InputError(
                    f"{len(refused)} of {len(todo)} bags cannot be used (the others are decoded): "
                    + "; ".join(sorted(refused.values())[: findings.LISTED])
                )
            if todo:
                known |= {name: cached_bag.read(folder / _short(name), contract, size) for name in todo}
            whole = [bag for bag in known.values() if bag is not None]
            files = [file for bag in whole for file in bag.pictures.values()]
            for file in files[:HELD_FILES]:  # before another command may change what is read here
                file.hold()
    except OSError as error:
        raise InputError(
            f"cannot write the cache of frames in {folder}: {error.strerror or error}; "
            "free space or give a folder that can be written; what is decoded stays"
            + "".join(f"; {others}" for others in [_other_readings(folder)] if others)
        ) from error
    return whole, refused


def _other_readings(folder: Path) -> str:
    """What else of these bags is kept beside `folder`, which takes place and is perhaps not wanted any more."""
    others = [other for other in folder.parent.glob("*") if other.is_dir() and other != folder]
    files = [Path(parent, name) for other in others for parent, _, names in os.walk(other) for name in names]
    if not files:
        return ""
    size = 0
    for file in files:
        with suppress(OSError):  # one that another training has just renamed
            size += file.stat().st_size
    return (
        f"{size / 1e6:,.0f} MB are these bags as they were read for other contracts, picture sizes or versions; delete "
        f"what is not used any more: {', '.join(map(str, others))}"
    )


def _below(folder: str, bag: CachedBag) -> CachedBag:
    """The bag, named with its folder, so that one of the same name elsewhere is another.

    What it was made of keeps its name, by which switches that were made of it name it, too: all are held out together.
    """
    return replace(bag, name=f"{folder}/{bag.name}")


def _without_failure(bag: CachedBag) -> CachedBag:
    """The bag as it is, or with nothing to learn where it is marked as a failure."""
    if bag.recording.success is not False:
        return bag
    return replace(bag, recording=Recording([], bag.recording.sources, [FAILED], False))


def _check_instructions(bags: list[CachedBag], read: Callable[[str], object]) -> None:
    """Add what is wrong with the instructions to the findings of the bags that have them."""
    of_bags = {bag.name: [part.instruction for run in bag.recording.runs for part in run.parts] for bag in bags}
    found = check_sentences(of_bags, read)
    for bag in bags:
        bag.recording.findings += [finding for name, finding in found if name == bag.name]


def key(contract: Contract, size: int | None) -> str:
    """Fingerprint of all that decides how a bag is read; targets are made when the cache is opened, at any horizon."""
    raw = asdict(contract)
    raw.pop("horizon")
    return hashlib.sha256(json.dumps([FORMAT, raw, size]).encode()).hexdigest()[:12]


def _check_frames(folder: Path, bags: list[CachedBag], refused: dict[str, str]) -> None:
    """`InputError` unless one of the bags of a folder gives a frame; `refused` are bags that are left out, and why."""
    if any(bag.recording.runs for bag in bags):
        return
    why = summary(sum((bag.recording.dropped for bag in bags), Counter[str]()))
    why = why or "; ".join(sorted({str(found) for bag in bags for found in bag.recording.findings}))
    why = why or "; ".join(f"{name}: {reason}" for name, reason in sorted(refused.items())[: findings.LISTED])
    raise InputError(f"the bags of {folder} hold no whole frame: {why}; record others")


def _joined(contract: Contract, size: int | None, bags: list[CachedBag], kept: Container[str]) -> Cache:
    """The frames of all bags, one after the other."""
    runs = [(bag, run) for bag in bags for run in bag.recording.runs]
    dropped = sum((bag.recording.dropped for bag in bags), Counter[str]())
    parts = [(bag, run, part) for bag, run in runs for part in run.parts]
    lengths = np.array([part.end - part.first for _, _, part in parts])
    frames = [len(run.stamps) for _, run in runs]
    ends_on_the_way = [run.mode is not None and run.mode[part.end - 1] != 0 for _, run, part in parts]
    contact = [run.contact for _, run in runs if run.contact is not None]
    return Cache(
        contract=contract,
        images={
            name: Pictures(
                [bag.pictures[name] for bag, _ in runs],
                [run.pictures for _, run in runs],
                (size, size, camera.shape[2]) if size else camera.shape,
                camera.dtype,
            )
            for name, camera in contract.cameras.items()
        },
        state=np.concatenate([run.state for _, run in runs]),
        actions=np.concatenate([run.actions for _, run in runs]),
        stamps=np.concatenate([run.stamps for _, run in runs]),
        contact=np.concatenate(contact) if len(contact) == len(runs) else None,
        mode=np.concatenate([np.zeros(len(run.stamps), np.uint8) if run.mode is None else run.mode for _, run in runs]),
        imitated=np.concatenate(
            [np.ones(len(run.stamps), bool) if run.correction is None else run.correction for _, run in runs]
        ),
        episode=np.repeat(np.arange(len(parts), dtype=np.int32), lengths),
        bounds=np.cumsum([0, *lengths]),
        instructions=[part.instruction for _, _, part in parts],
        tasks=[part.task for _, _, part in parts],
        incomplete=np.array([part.superseded for _, _, part in parts]) | np.array(ends_on_the_way),
        until=np.array([part.until for _, _, part in parts], np.int64),
        returns=np.array(
            [np.nan if bag.recording.success is None else bag.recording.success for bag, _, _ in parts], "f4"
        ),
        kept=np.array([bag.name in kept for bag, _, _ in parts]),
        bags=[bag.name for bag, _, _ in parts],
        sources=[bag.recording.sources for bag, _, _ in parts],
        recording=np.repeat(np.arange(len(runs), dtype=np.int32), frames),
        commands=[run.commands for _, run in runs],
        dropped=dropped,
        findings=findings.merge([(b.name, f) for b in bags for f in b.recording.findings]),
    )


def _valid(folder: Path, stored: StoredRecording, contract: Contract, size: int | None) -> CachedBag | None:
    """A recording as it was decoded, if it is still the same one."""
    about = cached_bag.described(folder / _short(stored.name))
    try:
        if about is None or about.get("mark") != stored.mark():
            return None
    except InputError:  # whoever decodes it says why it cannot be used
        return None
    return cached_bag.read(folder / _short(stored.name), contract, size)


def _decode(
    folder: Path, contract: Contract, size: int | None, todo: dict[str, StoredRecording], processes: int
) -> dict[str, str]:
    """Decode bags in other processes, each into its own folder; bag -> why it cannot be used."""
    refused: dict[str, str] = {}
    dropped: Counter[str] = Counter()
    pool = workers.pool(max(1, min(processes, len(todo))), preload=__name__)
    try:
        jobs = {
            pool.submit(_decode_one, stored, contract, size, folder / _short(name)): name
            for name, stored in todo.items()
        }
        for job in tqdm(as_completed(jobs), total=len(todo), unit="bag", desc="decoding"):
            error, unused = job.result()
            dropped.update(unused)
            if error:
                refused[jobs[job]] = error
        pool.shutdown()
    except BrokenProcessPool:
        raise InputError(
            f"the system killed a process that decodes bags, as a rule because memory ran out: {processes} bags are "
            f"decoded at once, and this machine has {_memory()}; end other programs and give the command again, which "
            "goes on where it was"
        ) from None
    finally:
        workers.end(pool)
        for name in todo:  # of a process that was ended with another bag's error
            shutil.rmtree(cached_bag.aside(folder / _short(name)), ignore_errors=True)
    if dropped:
        tqdm.write(f"not used: {summary(dropped)}")
    return refused


def _decode_one(
    stored: StoredRecording, contract: Contract, size: int | None, folder: Path
) -> tuple[str, Counter[str]]:
    """One recording, in a process of its own: why it cannot be used, and what of it was not used."""
    try:
        cached_bag.write(stored, contract, size, folder)
    except InputError as error:
        return str(error), Counter()
    except MemoryError:
        return (
            f"{stored.path}: memory ran out while it was read; end other programs and give the command again",
            Counter(),
        )
    return "", Counter((cached_bag.described(folder) or {}).get("dropped", {}))


def _remove_gone(folder: Path, found: Container[str]) -> None:
    """Take out the recordings that are no longer there."""
    for entry in folder.iterdir():
        if entry.is_dir() and entry.suffix != ".part":
            about = cached_bag.described(entry)
            if about is None or about["name"] not in found:
                shutil.rmtree(entry, ignore_errors=True)


def _short(name: str) -> str:
    """The folder of a bag: readable, and unique."""
    return f"{re.sub('[^A-Za-z0-9_-]', '_', Path(name).name)[:40]}-{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GB"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
