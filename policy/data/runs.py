"""Frames grouped by the clock that they were recorded on and by the instruction that was in force.

run      |0 ............................................|1 (the clock was set back) .......
part     | before   |A ................|B ..............|
frames     not used  . . . . . . . . .   . . . . . . .
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from policy.data.bag_reader import BagReader
from policy.data.instruction_timeline import Active, timeline
from policy.errors import unknown
from policy.robot import contact, setpoints
from policy.robot.contract import Contract
from policy.robot.setpoints import SetPoints
from policy.spec import MODES

REST = 0.5  # s without motion in which an instruction has been carried out
STILL = 1e-3  # of a joint's range: what moves less stands
FOREVER = 2**62  # ns

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
    correction: np.ndarray | None  # bool (N,): a person was in control; None where the bag has no label
    commands: list[SetPoints]  # of each group of the action, at their own rate
    parts: list[Part]


class Runs:
    """The frames of one bag; `cut` is whether its recorder was killed, `dropped` counts frames that are not used."""

    def __init__(self, contract: Contract, reader: BagReader, cut: bool) -> None:
        self.dropped: Counter[str] = Counter()
        self._contract, self._texts, self._commands, self._cut = contract, reader.texts, reader.commands, cut
        frames = reader.frames
        self._run = np.array([one.run for one in frames], np.int64)
        self._stamps = np.array([one.stamp for one in frames], np.int64)
        self._state = np.array([one.state for one in frames], np.float32)
        self._motion = np.array([one.motion for one in frames])
        self._actions = self._actions_of_frames()
        self._known = np.isfinite(self._actions).all(1)
        if not self._known.all():
            self._count_uncommanded(reader.uncommanded)
        self._touched = self._contact()

    def grouped(self) -> list[Run]:
        """The runs that have a frame under an instruction."""
        found = (self._grouped(int(number)) for number in np.unique(self._run))
        return [run for run in found if run is not None]

    def _actions_of_frames(self) -> np.ndarray:
        """The set-points (N, A) one step after each frame; NaN before the first command."""
        spec = self._contract.spec
        actions = np.full((len(self._stamps), len(spec.action)), np.nan, np.float32)
        for number in np.unique(self._run):
            mine = self._run == number
            actions[mine] = setpoints.join(self._commands[number], self._stamps[mine] + spec.dt_ns)
        return actions

    def _count_uncommanded(self, absent: str) -> None:
        names = f": {absent}" if "joints" in absent else ""
        self.dropped[f"frame without a command{names}"] += int((~self._known).sum())

    def _grouped(self, number: int) -> Run | None:
        """The frames of one run under an instruction, None if there are none."""
        chosen = np.flatnonzero((self._run == number) & self._known)
        finished = self._finished(number, chosen)
        active = timeline(self._said(self._contract.instruction, number), finished)
        which = np.searchsorted([a.since for a in active], self._stamps[chosen], side="right") - 1
        used = np.array([i >= 0 and bool(active[i].text) for i in which], bool)
        for i in which[~used].tolist():
            self.dropped[f"frame {active[i].why if i >= 0 else 'before the first instruction'}"] += 1
        if not used.any():
            return None
        frames = chosen[used]
        return Run(
            pictures=frames,
            stamps=self._stamps[frames],
            state=self._state[frames],
            actions=self._actions[frames],
            contact=None if self._touched is None else self._touched[frames],
            mode=self._mode(frames),
            correction=self._told(self._contract.labels.correction, frames),
            commands=self._commands[number],
            parts=[
                self._part(active, i, np.flatnonzero(which[used] == i), frames, finished)
                for i in np.unique(which[used]).tolist()
            ],
        )

    def _part(self, active: list[Active], i: int, rows: np.ndarray, frames: np.ndarray, finished: Finished) -> Part:
        last = frames[rows[-1]]
        labels = self._said(self._contract.labels.task, int(self._run[last]))
        label = bisect_right([t for t, _ in labels], int(self._stamps[last])) - 1
        following = active[i + 1] if i + 1 < len(active) else None
        return Part(
            instruction=active[i].text,
            task=labels[label][1] if label >= 0 else None,
            first=int(rows[0]),
            end=int(rows[-1]) + 1,
            until=FOREVER if following is None else following.since,
            superseded=self._cut if following is None else not finished(active[i].since, following.since),
        )

    def _finished(self, number: int, frames: np.ndarray) -> Finished:
        """Whether an instruction was done: the commands moved, then rested, and nothing was in contact."""
        still = STILL * (self._contract.limits.high - self._contract.limits.low)
        velocities = np.isin(self._contract.spec.action, self._contract.spec.velocities)
        stamps, commands = self._stamps[frames], self._commands[number]

        def finished(since: int, until: int) -> bool:
            rest = until - round(REST * 1e9)
            last = int(np.searchsorted(stamps, until)) - 1
            if rest <= since or (self._touched is not None and last >= 0 and self._touched[frames[last]]):
                return False
            moved, rested = (
                setpoints.join(commands, np.linspace(begin, until, 50).astype(np.int64)) for begin in (since, rest)
            )
            if np.isnan(rested).any():
                return False
            travelled = np.nanmax(np.abs(moved - rested[-1]), 0)
            left = np.where(velocities, np.abs(rested).max(0), np.ptp(rested, axis=0))  # a velocity rests at 0
            return bool((left < still).all() and (travelled > still).any())

        return finished

    def _contact(self) -> np.ndarray | None:
        """Contact (N,) bool of all frames: the label, else the estimate, else None."""
        told = self._told(self._contract.labels.contact, np.arange(len(self._stamps)))
        if told is not None:
            return told
        if not self._known.any():
            return None
        state, actions, motion = (x[self._known] for x in (self._state, self._actions, self._motion))
        estimate = contact.estimate(self._contract, state, actions, motion)
        if estimate is None:
            return None
        touched = np.zeros(len(self._known), bool)
        touched[self._known] = estimate
        return touched

    def _told(self, topic: str | None, frames: np.ndarray) -> np.ndarray | None:
        """What a label of std_msgs/msg/Bool says of frames (N,), False before the first; None where there is none."""
        values = self._in_force(topic, frames)
        return None if values is None else np.array([bool(value) for value in values])

    def _mode(self, frames: np.ndarray) -> np.ndarray | None:
        values = self._in_force(self._contract.labels.mode, frames)
        if values is None:
            return None
        for wrong in {one.value for one in self._texts[(self._contract.labels.mode or "").lstrip("/")]} - set(MODES):
            raise unknown(f"mode on {self._contract.labels.mode}:", wrong, MODES)
        return np.array([0 if value is None else MODES.index(value) for value in values], np.uint8)

    def _in_force(self, topic: str | None, frames: np.ndarray) -> list[Any] | None:
        """The newest value of a topic at each of N frames, None before the first; None where there is none at all."""
        if not self._texts.get((topic or "").lstrip("/")):
            return None
        values: list[Any] = [None] * len(frames)
        for number in np.unique(self._run[frames]):
            said = self._said(topic, int(number))
            mine = np.flatnonzero(self._run[frames] == number)
            before = np.searchsorted([t for t, _ in said], self._stamps[frames[mine]], side="right")
            for i, n in zip(mine.tolist(), before.tolist(), strict=True):
                values[i] = said[n - 1][1] if n else None
        return values

    def _said(self, topic: str | None, number: int) -> list[tuple[int, Any]]:
        """What a topic said on one run of the clock, as (ns, value); first what was in force when it was set back."""
        said = self._texts.get((topic or "").lstrip("/"), [])
        runs = [min(one.run, len(self._commands) - 1) for one in said]
        earlier = [one for one, run in zip(said, runs, strict=True) if run < number]
        own = [(one.stamp, one.value) for one, run in zip(said, runs, strict=True) if run == number]
        begin = int(self._stamps[self._run == number].min()) - 1
        return [(begin, one.value) for one in earlier[-1:]] + own
