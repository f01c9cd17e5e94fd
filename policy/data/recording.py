"""A bag as frames and episodes: its messages pass the same streams as a live robot's.

    pass 1   times of all messages -> the clocks agree, or header stamps are moved, or the bag is refused
    pass 2   messages -> frames; their pictures are handed on at once, all else is kept and grouped at the end

Frames before the first instruction or the first command are not used. `actions[t]` is the set-point in force at
`stamps[t] + dt`.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from policy.data import checks, clocks
from policy.data.bag_files import metadata
from policy.data.bags import messages, summary
from policy.data.checks import Finding
from policy.data.clocks import Alignment
from policy.data.instruction_timeline import Active, timeline
from policy.data.raw import CUT_OFF, TYPES
from policy.data.survey import hertz, survey
from policy.errors import InputError, unknown
from policy.robot import contact, setpoints
from policy.robot.contract import BOOL, STRING, Contract
from policy.robot.motors import Motors
from policy.robot.setpoints import SetPoints
from policy.robot.streams import Streams
from policy.spec import MODES, Frame

REST = 0.5  # s without motion in which an instruction has been carried out
STILL = 1e-3  # of a joint's range: what moves less stands
FOREVER = 2**62  # ns

Pictures = dict[str, np.ndarray]  # camera -> uint8 (height, width, 3)
Finished = Callable[[int, int], bool]  # since, until [ns]


@dataclass(slots=True)
class Part:
    """The frames of one instruction: `first` to `end` of its run."""

    instruction: str
    task: str | None
    first: int
    end: int
    until: int  # ns, when the next instruction was given
    superseded: bool  # by another instruction, or the recorder was killed: it was not carried out


@dataclass(slots=True)
class Run:
    """What was recorded on one clock: N used frames, without their pictures."""

    pictures: np.ndarray  # int64 (N,): which of the pictures handed on
    stamps: np.ndarray  # int64 (N,) ns
    state: np.ndarray  # float32 (N, S)
    actions: np.ndarray  # float32 (N, A)
    contact: np.ndarray | None  # bool (N,), a label or an estimate; None where neither can be
    mode: np.ndarray | None  # uint8 (N,) into MODES, None where the bag has no label
    commands: list[SetPoints]  # of each group of the action, at their own rate
    parts: list[Part]


@dataclass(slots=True)
class Recording:
    """One bag."""

    runs: list[Run]
    sources: tuple[str, ...]  # the recordings that it was made of, itself where it was made of none
    findings: list[Finding]
    lost: Counter[str] = field(default_factory=Counter)


class _Seen(NamedTuple):
    """A frame without its pictures."""

    run: int
    stamp: int
    state: np.ndarray  # (S,)
    motion: np.ndarray  # (J, 3), see policy.robot.motors


def read(bag: Path, contract: Contract, take: Callable[[Pictures], None]) -> Recording:
    """Read a bag; `take` gets the pictures of each frame, in order.

    `InputError` if a topic of the contract is missing or has another type, its clocks drift apart, or nothing fits.
    """
    wanted = _wanted(contract)
    topics, lost = survey(bag, wanted)
    alignment, findings = clocks.align(bag.name, contract, {name: t.arrays() for name, t in topics.items()})
    findings += checks.check_rates(contract, hertz(topics))
    reader = _Reader(contract, alignment, take)
    for raw in messages(bag, wanted, Counter()):
        reader.push(raw.topic.lstrip("/"), raw.type, raw.data, raw.stamp)
    reader.streams.flush()
    reader.collect()
    cut = bool(lost[CUT_OFF])
    runs = reader.runs(cut)
    findings += checks.check_whole(dict(lost), sum(len(run.stamps) for run in runs))
    for run in runs:
        findings += checks.check_motion(contract, run.stamps, run.state, run.actions)
    lost = +(lost + reader.lost + reader.streams.lost)
    if not cut:
        _check_topics(bag, contract, set(topics))
        if not runs:
            raise InputError(
                f"{bag} holds nothing that fits the contract: {summary(lost) or 'no frame'}; "
                "correct the contract or take the bag away"
            )
    custom = metadata(bag).get("custom_data") or {}
    return Recording(runs, tuple(str(custom.get("from", bag.name)).split(",")), findings, lost)


def _wanted(contract: Contract) -> dict[str, str]:
    """Topic without leading slash -> type, of all that is read."""
    labels = contract.labels
    optional = {labels.task: STRING, labels.mode: STRING, labels.contact: BOOL}
    return _needed(contract) | {t.lstrip("/"): kind for t, kind in optional.items() if t}


def _needed(contract: Contract) -> dict[str, str]:
    needed = {**contract.observed, **contract.commanded, contract.instruction: STRING}
    return {t.lstrip("/"): kind for t, kind in needed.items()}


def _check_topics(bag: Path, contract: Contract, seen: set[str]) -> None:
    missing = [t for t in _needed(contract) if t not in seen]
    if missing:
        raise InputError(
            f"{bag} has no message on {', '.join(missing)}, which the contract asks for; "
            f"of its topics it has {', '.join(sorted(seen)) or 'none'}; "
            "record the topic or correct the contract"
        )


class _Reader:
    """Plays a bag's messages into streams and gathers what episodes are made of."""

    def __init__(self, contract: Contract, alignment: Alignment, take: Callable[[Pictures], None]) -> None:
        self.contract, self.lost = contract, Counter[str]()
        self._motors = Motors(contract)
        self.streams = Streams(contract, self._motors, alignment.headers)
        self._reception = alignment.reception
        self._take = take
        self._text: dict[str, list[tuple[int, Any]]] = {}  # instruction and labels: topic -> (time, value)
        self._frames: list[_Seen] = []

    def push(self, topic: str, kind: str, data: bytes, received: int) -> None:
        """Take one message."""
        received += self._reception
        try:
            message: Any = TYPES.deserialize_cdr(data, kind)
        except Exception as error:  # rosbags raises whatever the damaged bytes lead to
            self.lost[f"{topic}: a message that does not decode ({type(error).__name__})"] += 1
            return
        if kind in (STRING, BOOL):
            self._text.setdefault(topic, []).append((received, message.data))
            return
        self.streams.push(topic, message, received)
        self.collect()

    def collect(self) -> None:
        """Hand on the pictures of the frames that are complete."""
        while (frame := self.streams.frame()) is not None:
            self._take(frame.images)
            self._frames.append(self._seen(frame))

    def runs(self, cut: bool) -> list[Run]:
        """Frames grouped by the clock they were recorded on and by the instruction that was in force."""
        commands = [*self.streams.earlier, self.streams.setpoints()]
        actions = self._actions(commands)
        known = np.isfinite(actions).all(1)
        self._count_uncommanded(int((~known).sum()))
        touched = self._contact(actions, known)
        runs = []
        for number in sorted({one.run for one in self._frames}):
            chosen = [k for k, one in enumerate(self._frames) if one.run == number and known[k]]
            run = self._run(number, np.array(chosen, np.int64), actions, touched, commands, cut)
            if run is not None:
                runs.append(run)
        return runs

    def _seen(self, frame: Frame) -> _Seen:
        return _Seen(self.streams.restarts, frame.stamp, frame.state, self._motors.at(frame.stamp))

    def _actions(self, commands: list[list[SetPoints]]) -> np.ndarray:
        """The set-points (N, A) one step after each frame; NaN before the first command."""
        actions = np.full((len(self._frames), len(self.contract.spec.action)), np.nan, np.float32)
        runs = np.array([one.run for one in self._frames])
        stamps = np.array([one.stamp for one in self._frames], np.int64)
        for number in np.unique(runs):
            mine = runs == number
            actions[mine] = setpoints.join(_of_run(commands, number), stamps[mine] + self.contract.spec.dt_ns)
        return actions

    def _count_uncommanded(self, frames: int) -> None:
        if frames:
            absent = self.streams.uncommanded()
            names = absent if "got the joints" in absent else ""
            self.lost[f"frame without a command{': ' if names else ''}{names}"] += frames

    def _run(
        self,
        number: int,
        chosen: np.ndarray,
        actions: np.ndarray,
        touched: np.ndarray | None,
        commands: list[list[SetPoints]],
        cut: bool,
    ) -> Run | None:
        """The frames of one clock under an instruction, None if there are none."""
        stamps = np.array([self._frames[k].stamp for k in chosen], np.int64)
        own = _of_run(commands, number)
        finished = self._finished(stamps, chosen, own, touched)
        active = timeline(self._text.get(self.contract.instruction.lstrip("/"), []), finished)
        which = np.searchsorted([a.since for a in active], stamps, side="right") - 1
        used = np.array([i >= 0 and bool(active[i].text) for i in which], bool)
        for i in which[~used].tolist():
            self.lost[f"frame {active[i].why if i >= 0 else 'before the first instruction'}"] += 1
        if not used.any():
            return None
        frames, which, stamps = chosen[used], which[used], stamps[used]
        return Run(
            pictures=frames,
            stamps=stamps,
            state=np.stack([self._frames[k].state for k in frames]),
            actions=actions[frames],
            contact=None if touched is None else touched[frames],
            mode=self._mode(stamps),
            commands=own,
            parts=self._parts(which, stamps, active, finished, cut),
        )

    def _parts(
        self, which: np.ndarray, stamps: np.ndarray, active: list[Active], finished: Finished, cut: bool
    ) -> list[Part]:
        labels = self._text.get((self.contract.labels.task or "").lstrip("/"), [])
        parts = []
        for i in np.unique(which).tolist():
            rows = np.flatnonzero(which == i)
            first, end = int(rows[0]), int(rows[-1]) + 1
            label = bisect_right([t for t, _ in labels], int(stamps[end - 1])) - 1
            following = active[i + 1] if i + 1 < len(active) else None
            superseded = (
                cut if following is None else bool(following.text) or not finished(active[i].since, following.since)
            )
            parts.append(
                Part(
                    instruction=active[i].text,
                    task=labels[label][1] if label >= 0 else None,
                    first=first,
                    end=end,
                    until=FOREVER if following is None else following.since,
                    superseded=superseded,
                )
            )
        return parts

    def _finished(
        self, stamps: np.ndarray, frames: np.ndarray, commands: list[SetPoints], touched: np.ndarray | None
    ) -> Finished:
        """Whether an instruction was done: the commands moved, then rested, and nothing was in contact."""
        still = STILL * (self.contract.limits.high - self.contract.limits.low)

        def finished(since: int, until: int) -> bool:
            rest = until - round(REST * 1e9)
            if rest <= since:
                return False
            last = int(np.searchsorted(stamps, until)) - 1
            if touched is not None and last >= 0 and touched[frames[last]]:
                return False
            moved, rested = (
                setpoints.join(commands, np.linspace(begin, until, 50).astype(np.int64)) for begin in (since, rest)
            )
            if np.isnan(rested).any():
                return False
            return bool(
                (np.ptp(rested, axis=0) < still).all() and (np.nanmax(np.abs(moved - rested[-1]), 0) > still).any()
            )

        return finished

    def _contact(self, actions: np.ndarray, known: np.ndarray) -> np.ndarray | None:
        """Contact (N,) bool of all frames: the label, else the estimate, else None."""
        labels = self._text.get((self.contract.labels.contact or "").lstrip("/"), [])
        frames = self._frames
        if labels:
            before = np.searchsorted([t for t, _ in labels], [one.stamp for one in frames], side="right")
            return np.array([False] + [bool(v) for _, v in labels])[before]
        if not known.any():
            return None
        state, motion = (np.stack([one[i] for one in frames])[known] for i in (2, 3))
        estimate = contact.estimate(self.contract, state, actions[known], motion)
        if estimate is None:
            return None
        touched = np.zeros(len(frames), bool)
        touched[known] = estimate
        return touched

    def _mode(self, stamps: np.ndarray) -> np.ndarray | None:
        labels = self._text.get((self.contract.labels.mode or "").lstrip("/"), [])
        if not labels:
            return None
        for wrong in {v for _, v in labels} - set(MODES):
            raise unknown(f"mode on {self.contract.labels.mode}:", wrong, MODES)
        before = np.searchsorted([t for t, _ in labels], stamps, side="right")
        return np.array([0] + [MODES.index(v) for _, v in labels], np.uint8)[before]


def _of_run(commands: list[list[SetPoints]], number: int) -> list[SetPoints]:
    """What was commanded on a clock; a restart before any command left nothing."""
    return commands[min(number, len(commands) - 1)]
