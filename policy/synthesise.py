"""Makes switches from a user's own recordings, where no simulator can check: `python -m policy.synthesise`.

    python -m policy.synthesise data/mine --out data/mine/switches --contract so101

In each episode with a contact the instruction changes, before, during or after it, to that of another task; the
way back is made of the episode's own frames (policy.switching.reverse) and leads, where that task was begun close
to where this one was, to the episode's start. There the bag ends: the second instruction is not carried out, and
 training does not take its last steps for done. Kept only within the contract's limits. The same command goes
on where it was.

What was carried comes back with the hand, as it would. What was only pushed is seen to come back too, which it
would not: there the hand's way is right, and the picture is not. Episodes without a label of their task are of one
task only if the same was said.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from tqdm import tqdm

from policy.data.bags import EpisodeWriter, channels, find_bags, read_episodes
from policy.data.message_writer import MessageWriter
from policy.errors import InputError, exit_code
from policy.robot import contract as contracts
from policy.robot.contract import Contract
from policy.spec import MODES, Episode
from policy.switching.reverse import Way, back, before, leaving
from policy.switching.stitching import BLEND, Demonstration, Synthesis

PHASES = ("early", "mid", "late")
AFTER = 1.0  # s after the last contact in which a switch is late
BEFORE = (0.5, 1.0)  # s kept before the contact in which, or else the switch at which, the episode is broken off
REACH = 0.2  # rad (or m): tasks that were begun this close together are begun at the same place
FIRST = 3  # steps before which nothing is broken off


@dataclass(frozen=True, slots=True)
class Shown:
    """An episode without its pictures."""

    bag: Path
    number: int  # of the episode in its bag
    words: str
    task: str  # the label, else the words
    stamps: np.ndarray
    demo: Demonstration


@dataclass(frozen=True, slots=True)
class Try:
    """A switch to write: the frames of one episode in a new order, and when the instruction changes."""

    shown: Shown
    other: Shown
    phase: str
    ways: tuple[Way, Way]  # before the switch and after it
    bag: Path

    @property
    def frames(self) -> list[int]:
        return self.ways[0].frames + self.ways[1].frames


class _Dropped(Exception):
    """No switch can be made here, and why."""


def synthesise(bags: Path, out: Path, contract: Contract) -> Counter[str]:
    """Write the switches that the bags of a folder give; counts of what became of each.

    `InputError` if a contract has no topics for the labels, or the bags fewer than two tasks.
    """
    if not (contract.labels.mode and contract.labels.contact):
        raise InputError(
            "the contract names no topics for the labels that a switch is told by; add to it\n"
            "labels: {contact: label/contact, mode: label/mode}\nno recording needs to have them"
        )
    counts = Counter[str]()
    shown = list(_read(bags, out, contract, counts))
    tasks = sorted({one.task for one in shown})
    if len(tasks) < 2:
        raise InputError(
            f"{bags} shows a contact in {len(tasks)} task ({', '.join(tasks) or _say(counts)}), "
            "expected at least 2 to switch between; record another task"
        )
    out.mkdir(parents=True, exist_ok=True)
    todo = _planned(shown, bags, out, contract, counts)
    for bag in tqdm(list(dict.fromkeys(one.shown.bag for one in todo)), unit="bag", desc="writing"):
        episodes = read_episodes(bag, contract)
        for one in (one for one in todo if one.shown.bag == bag):
            _write(one, episodes[one.shown.number], contract)
            counts[f"{one.phase}: kept"] += 1
    return counts


def _read(bags: Path, out: Path, contract: Contract, counts: Counter[str]) -> Iterator[Shown]:
    """The episodes that a switch can be made of."""
    commanded = [contract.spec.state.index(name) for name in contract.spec.action]
    own = [bag for bag in find_bags(bags) if out.resolve() not in bag.resolve().parents]
    for bag in tqdm(own, unit="bag", desc="reading"):
        for number, e in enumerate(read_episodes(bag, contract)):
            if e.contact is None:
                raise InputError(
                    f"{bag} does not tell contact: no label, no gripper in the contract, no efforts "
                    "in its joint states; mark the gripper in the contract, or record a label"
                )
            if e.mode is not None and e.mode.any():
                counts["an episode: a switch already"] += 1
            elif not e.contact.any() or e.contact[0]:
                counts["an episode: " + ("begins in contact" if e.contact[0] else "no contact")] += 1
            else:
                yield Shown(
                    bag,
                    number,
                    e.instruction,
                    e.task or e.instruction,
                    e.stamps,
                    Demonstration(e.state[:, commanded], e.actions, e.contact),
                )


def _planned(shown: list[Shown], bags: Path, out: Path, contract: Contract, counts: Counter[str]) -> list[Try]:
    """The switches that are still to be written."""
    todo = []
    for one in shown:
        place = one.bag.relative_to(bags) if one.bag != bags else Path(bags.name)
        for phase in PHASES:
            name = f"{'_'.join(place.with_suffix('').parts)}_{one.number}_{phase}"
            try:
                made = _try(one, phase, shown, out / name, contract)
            except _Dropped as why:
                counts[f"{phase}: {why}"] += 1
                continue
            if made.bag.exists():
                counts[f"{phase}: kept"] += 1
            else:
                todo.append(made)
    return todo


def _try(one: Shown, phase: str, shown: list[Shown], bag: Path, contract: Contract) -> Try:
    """One switch out of an episode; `_Dropped` where there is none."""
    demo, rng = one.demo, np.random.default_rng(crc32(bag.name.encode()))
    contacts = demo.contacts()
    last = contacts[-1][1]
    steps = {
        "early": np.arange(FIRST, contacts[0][0]),
        "mid": np.concatenate([np.arange(*contact) for contact in contacts]),
        "late": np.arange(last, min(last + round(AFTER * contract.rate), len(demo.state))),
    }[phase]
    if not len(steps):
        raise _Dropped("no step of this phase")
    t = int(rng.choice(steps))
    other, near = _other(one, shown, contract, rng)
    over = phase == "late" or Synthesis(contract, 0).let_go(demo, t)
    way = leaving(demo, t) if over else back(contract, demo, t, near)
    if way is None or len(way.frames) < BLEND:
        raise _Dropped("the hand is free already")
    onset = demo.onset(t)
    begin = t - round(BEFORE[1] * contract.rate) if onset is None else onset - round(BEFORE[0] * contract.rate)
    ways = before(demo, max(0, begin), t), way
    _check(one, ways, contract)
    return Try(one, other, phase, ways, bag)


def _other(one: Shown, shown: list[Shown], contract: Contract, rng: np.random.Generator) -> tuple[Shown, bool]:
    """Another task's episode, if possible one begun near this one's start, and whether it is."""
    away: dict[str, list[tuple[float, Shown]]] = {}
    for b in shown:
        if b.task != one.task:
            far = float(np.abs(b.demo.state[0] - one.demo.state[0])[~contract.grippers].max())
            away.setdefault(b.task, []).append((far, b))
    nearest = [min(episodes, key=lambda e: e[0]) for _, episodes in sorted(away.items())]
    reached = [e for e in nearest if e[0] < REACH]
    far, b = (reached or nearest)[rng.integers(len(reached or nearest))]
    return b, far < REACH


def _check(one: Shown, ways: tuple[Way, Way], contract: Contract) -> None:
    """`_Dropped` where frames are missing or a limit is passed."""
    limits, frames = contract.limits, np.array(ways[0].frames + ways[1].frames)
    used = one.stamps[frames.min() : frames.max() + 1]
    if (np.diff(used) > 1.5 * contract.spec.dt_ns).any():
        raise _Dropped("frames are missing")
    actions = np.concatenate([ways[0].actions, ways[1].actions])
    if (actions < limits.low - 1e-4).any() or (actions > limits.high + 1e-4).any():
        raise _Dropped("a set-point is beyond its limits")
    # of the arm, not of its commands: those made anew are within, and the grippers' may jump
    moved = np.abs(np.diff(one.demo.state[frames], axis=0))[:, ~contract.grippers]
    if (moved > limits.velocity[~contract.grippers] / contract.rate).any():
        raise _Dropped("the arm is faster than its limits")


def _write(one: Try, episode: Episode, contract: Contract) -> None:
    """The bag of a switch."""
    assert episode.contact is not None and contract.labels.mode is not None
    start, dt, switched = int(episode.stamps[one.frames[0]]), contract.spec.dt_ns, len(one.ways[0].frames)
    actions, mode = (np.concatenate([getattr(way, field) for way in one.ways]) for field in ("actions", "mode"))
    custom = {"task": one.other.task, "before": one.shown.task, "switch": one.phase, "from": one.shown.bag.name}
    with EpisodeWriter(one.bag, channels(contract), custom) as bag:
        encoder = MessageWriter(bag, contract)
        for i, (k, action) in enumerate(zip(one.frames, actions, strict=True)):
            stamp = start + i * dt
            if i in (0, switched):
                said = one.other if i == switched else one.shown
                encoder.say(contract.instruction, said.words, stamp)
                if contract.labels.task is not None and said.task != said.words:
                    encoder.say(contract.labels.task, said.task, stamp)
            if i == 0 or mode[i] != mode[i - 1]:
                encoder.say(contract.labels.mode, MODES[mode[i]], stamp)
            encoder.contact(bool(episode.contact[k]), stamp)
            encoder.frame(stamp, {name: images[k] for name, images in episode.images.items()}, episode.state[k])
            encoder.command(stamp, action)


def _say(counts: Counter[str]) -> str:
    return "; ".join(f"{n} x {what}" for what, n in sorted(counts.items())) or "no episode"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m policy.synthesise", description=__doc__.split("\n")[0])
    parser.add_argument("bags", type=Path, help="folder of recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder for the bags of switches")
    parser.add_argument("--contract", default="tabletop", help="a name in policy/contracts, or a YAML file")
    args = parser.parse_args()
    try:
        counts = synthesise(args.bags, args.out, contracts.load(args.contract))
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it was", file=sys.stderr)
        raise SystemExit(130) from None
    for what, count in sorted(counts.items()):
        print(f"{count:6d}  {what}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
