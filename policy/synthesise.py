"""Makes switches from a user's own recordings, without a simulator: `python -m policy.synthesise`.

    python -m policy.synthesise data/mine --out data/mine/switches --contract so101

In each episode with a contact the instruction changes to that of another task, once before, once during and once
after the contact. What follows are the episode's own frames in reverse (policy.switching.reverse), back to where the
hand was free and, where the other task begins near the start of this episode, on to that start. There the bag ends:
the second instruction is not carried out, and training does not take the last steps for done. A switch is written
only within the contract's limits. The same command again continues.

A carried object comes back with the hand, as it would on the robot. A pushed object comes back in the images too,
which it would not on the robot: the motion is right, the images are not. Episodes without a task label belong to the
same task if their instructions are equal.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
from tqdm import tqdm

from policy import folders
from policy.data.bag_writer import BagExists, EpisodeWriter, channels
from policy.data.episodes import read_episodes
from policy.data.message_writer import MessageWriter
from policy.data.sources import find, passed_over
from policy.data.stored import StoredRecording
from policy.errors import InputError, exit_code
from policy.robot import contract as contracts
from policy.robot.contract import Contract
from policy.spec import MODES, Episode
from policy.switching.demonstration import Demonstration
from policy.switching.planning import PHASES, NotPossible, PlannedSwitch, Recording, plan_switch


def synthesise(bags: Path, out: Path, contract: Contract) -> Counter[str]:
    """Write the switches that the bags of a folder give; returns how many were written or not possible, by reason.

    `InputError` if the contract has no topics for the labels, or the bags fewer than two tasks.
    """
    if not (contract.labels.mode and contract.labels.contact):
        raise InputError(
            "the contract names no label topics, which the bag of a switch needs; add to it\n"
            "labels: {contact: label/contact, mode: label/mode}\nno recording needs to have them"
        )
    if out.resolve() in (bags.resolve(), *bags.resolve().parents):  # what lies in it is taken for switches
        raise InputError(
            f"--out {out} holds the recordings of {bags}, and switches need a folder of their own; "
            f"give another one, such as --out {bags / 'switches'}"
        )
    counts = Counter[str]()
    stored = {one.name: one for one in find(bags) if out.resolve() not in one.path.resolve().parents}
    recordings = list(_read(stored.values(), contract, counts))
    tasks = sorted({recording.task for recording in recordings})
    if len(tasks) < 2:
        raise InputError(
            f"{bags} shows a contact in {len(tasks)} task ({', '.join(tasks) or _summary(counts)}), "
            "expected at least 2 to switch between; record another task"
        )
    for finding in passed_over(bags):
        tqdm.write(f"{finding.severity}: {finding}", file=sys.stderr)
    folders.make(out)
    planned = _plan(recordings, out, contract, counts)
    for name in tqdm(list(dict.fromkeys(switch.recording.name for switch in planned)), unit="bag", desc="writing"):
        episodes = read_episodes(stored[name], contract)
        for switch in (switch for switch in planned if switch.recording.name == name):
            with suppress(BagExists):  # another command was first
                _write(switch, episodes[switch.recording.number], contract, stored[name].sources)
            counts[f"{switch.phase}: kept"] += 1
    return counts


def _read(recorded: Collection[StoredRecording], contract: Contract, counts: Counter[str]) -> Iterator[Recording]:
    """The episodes that a switch can be made of; counts the others."""
    commanded = contract.positions
    for stored in tqdm(recorded, unit="bag", desc="reading"):
        for number, e in enumerate(read_episodes(stored, contract)):
            if e.contact is None:
                raise InputError(
                    f"{stored.name} gives no contact: no label, no gripper in the contract, no efforts "
                    "in its joint states; mark the gripper in the contract, or record a label"
                )
            if not e.imitated:
                counts["an episode: a failure, or corrected by a person"] += 1
            elif e.mode is not None and e.mode.any():
                counts["an episode: a switch already"] += 1
            elif not e.contact.any() or e.contact[0]:
                counts["an episode: " + ("begins in contact" if e.contact[0] else "no contact")] += 1
            else:
                demo = Demonstration(e.state[:, commanded], e.actions, e.contact)
                yield Recording(stored.name, number, e.instruction, e.task or e.instruction, e.stamps, demo)


def _plan(recordings: list[Recording], out: Path, contract: Contract, counts: Counter[str]) -> list[PlannedSwitch]:
    """The switches that are still to be written; counts those that exist or are not possible."""
    planned, stems = [], dict[str, str]()
    for recording in recordings:
        stem = "_".join(Path(recording.name.removesuffix(".zstd").removesuffix(".mcap").removesuffix(".db3")).parts)
        if stems.setdefault(stem, recording.name) != recording.name:  # another one is called so, too
            stem += f"_{sha256(recording.name.encode()).hexdigest()[:8]}"
        for phase in PHASES:
            name = f"{stem}_{recording.number}_{phase}"
            try:
                switch = plan_switch(recording, phase, recordings, out / name, contract)
            except NotPossible as reason:
                counts[f"{phase}: {reason}"] += 1
                continue
            if switch.bag.exists():
                counts[f"{phase}: kept"] += 1
            else:
                planned.append(switch)
    return planned


def _write(switch: PlannedSwitch, episode: Episode, contract: Contract, sources: tuple[str, ...]) -> None:
    """Write the bag of a switch from the episode whose frames it takes, and the recordings that this was made of."""
    assert episode.contact is not None and contract.labels.mode is not None
    frames, dt, switched = switch.frames, contract.spec.dt_ns, len(switch.segments[0].frames)
    start = int(episode.stamps[frames[0]])
    actions = np.concatenate([segment.actions for segment in switch.segments])
    mode = np.concatenate([segment.mode for segment in switch.segments])
    custom = {
        "task": switch.other.task,
        "before": switch.recording.task,
        "switch": switch.phase,
        "from": ",".join(sources),
    }
    with EpisodeWriter(switch.bag, channels(contract), custom) as bag:
        writer = MessageWriter(bag, contract)
        for i, (k, action) in enumerate(zip(frames, actions, strict=True)):
            stamp = start + i * dt
            if i in (0, switched):
                active = switch.other if i == switched else switch.recording
                writer.text(contract.instruction, active.instruction, stamp)
                if contract.labels.task is not None:
                    writer.text(contract.labels.task, active.task, stamp)
            if i == 0 or mode[i] != mode[i - 1]:
                writer.text(contract.labels.mode, MODES[mode[i]], stamp)
            writer.contact(bool(episode.contact[k]), stamp)
            writer.frame(stamp, {name: images[k] for name, images in episode.images.items()}, episode.state[k])
            writer.command(stamp, action)


def _summary(counts: Counter[str]) -> str:
    return "; ".join(f"{n} x {reason}" for reason, n in sorted(counts.items())) or "no episode"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m policy.synthesise", description=__doc__.split("\n")[0])
    parser.add_argument("bags", type=Path, help="folder of rosbag2 recordings or LeRobot data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder for the bags of switches")
    parser.add_argument("--contract", default="tabletop", help="a name in policy/contracts, or a YAML file")
    args = parser.parse_args()
    try:
        counts = synthesise(args.bags, args.out, contracts.load(args.contract))
    except KeyboardInterrupt:
        print("stopped; the same command continues", file=sys.stderr)
        raise SystemExit(130) from None
    for reason, count in sorted(counts.items()):
        print(f"{count:6d}  {reason}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
