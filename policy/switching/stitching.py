"""Switches made of demonstrations alone: what to command when the instruction changes from A's to B's.

    A's commands | undo: A's states backwards | advance: straight to B's start | B's commands from there
                 ^ the switch

After SwitchVLA (see docs/switching.md): what was done is undone by *states* in reverse, because reversed commands
would lead the arm by its lag in the wrong direction; the commands are derived from them anew. What is in front of
the hand decides: without contact nothing is undone, what has been let go is only left, and where both tasks hold the
same thing in the same grasp the hand goes on with it (a link). Nothing here knows what a task is.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from policy.robot.contract import Contract
from policy.spec import MODES

FORWARD, ROLLBACK, ADVANCE = range(len(MODES))
CLEAR = 20  # steps before a contact in which the hand goes for it: before them it is free; as many go to placing
LEFT = 12  # steps after a contact in which the hand leaves
GAP = 6  # steps: contacts this close are one
PACE = 0.06  # rad per step of the straight way and of the free hand's way back: demonstrations travel at 0.045
STILL = 0.002  # rad: steps that move less are waiting, which is not repeated backwards
BLEND = 8  # steps in which A's motion turns into the new one
TURN = 6  # steps that the new motion waits meanwhile
OPENING = 8  # steps a gripper gets to open or close before the arm leaves
SLOWER = 0.95  # of the velocity limits
SAME = 0.03  # rad: two grasps this close are the same
FLIP = 0.05  # of a gripper's range: a change of its command


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What was recorded, in the units of the actions."""

    state: np.ndarray  # (T, A) of the joints that actions command
    actions: np.ndarray  # (T, A)
    contact: np.ndarray  # (T,) bool

    def onset(self, t: int) -> int | None:
        """Where the contact that holds at t began, None where there is none."""
        return next((first for first, end in self.contacts() if first <= t < end), None)

    def contacts(self) -> list[tuple[int, int]]:
        """First step and end of each contact, short gaps filled."""
        edges = np.flatnonzero(np.diff(np.concatenate([[0], filled(self.contact), [0]]).astype(np.int8)))
        return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Switch:
    """What is commanded from the switch on, one row a step."""

    actions: np.ndarray  # (N, A)
    mode: np.ndarray  # (N,) uint8 into MODES
    joined: int  # the step of B's demonstration with which its own commands begin


@dataclass(frozen=True, slots=True)
class Synthesis:
    """How switches are made for one robot.

    `lag`: steps by which the arm follows its commands. `links` False: B is always begun at its start (for the
    ablation of links).
    """

    contract: Contract
    lag: int
    links: bool = True

    @property
    def grippers(self) -> np.ndarray:
        """Which actions are grippers, (A,) bool."""
        return self.contract.grippers

    @property
    def span(self) -> np.ndarray:
        """The range of each action (A,)."""
        return self.contract.limits.high - self.contract.limits.low

    def switch(self, a: Demonstration, t: int, b: Demonstration) -> Switch | None:
        """From A's step t to the end of B; None where B's demonstration has no free beginning."""
        onset = None if self.let_go(a, t) else a.onset(t)
        over = [end for first, end in a.contacts() if first <= t]
        soon = next((first for first, _ in a.contacts() if t < first <= t + CLEAR), None)
        meeting = onset is None and soon is not None and self.meet(a, soon, b)
        way: list[np.ndarray]
        leave, mode = t, ADVANCE
        holding = self.linked(a, t, b) if onset is not None else None
        if holding is not None:
            way = [self._row(a, t)]
        elif onset is not None:
            way, mode = self.undo(a, t, max(0, onset - CLEAR)), ROLLBACK
        elif soon is not None and not meeting:
            way = self.undo(a, t, min(t, max([0, soon - CLEAR, *over])))
        else:
            leave = max(t, min(over[-1] + LEFT, len(a.state) - 1)) if over else t
            way = [self._row(a, leave)]
        end = b.contacts()[0][0] if meeting else self.free(b)
        if holding is None and end <= 0:
            return None
        joined = holding if holding is not None else self._join(way[-1], b, end)
        line = self.line(way[-1], b.state[joined], b.actions[max(0, joined - 1)])
        rows = np.array([way[0]] * TURN + way + line)
        labels = [mode] * (TURN + len(way)) + [ADVANCE] * len(line)
        return self._commands(a, t, leave, rows, labels, b, joined)

    def linked(self, a: Demonstration, t: int, b: Demonstration) -> int | None:
        """Where A's hand at t holds what B's demonstration grasps just so: the step of B to go on with."""
        if not self.links:
            return None
        mine = self._grasp(a, t)
        theirs = [self._grasp(b, first) or self._grasp(b, end - 1) for first, end in b.contacts()]
        for grasp in theirs:
            if mine is None or grasp is None or t < mine[1]:
                continue
            closed = np.abs(a.state[mine[1]] - b.state[grasp[1]])
            if closed[~self.grippers].max() < SAME and (closed / self.span)[self.grippers].max() < FLIP:
                steps = np.arange(grasp[1], max(grasp[1] + 1, grasp[2] - CLEAR))  # placing is B's own work
                away = np.abs(b.state[steps] - a.state[t])[:, ~self.grippers].max(1) / PACE
                return int(steps[np.argmin(away + len(steps) - np.arange(len(steps)))])
        return None

    def meet(self, a: Demonstration, onset: int, b: Demonstration) -> bool:
        """Whether A's contact that begins at `onset` begins just as B's first one does."""
        contacts = b.contacts()
        if not self.links or not contacts:
            return False
        away = np.abs(a.state[onset] - b.state[contacts[0][0]])
        return bool(away[~self.grippers].max() < SAME and (away / self.span)[self.grippers].max(initial=0) < FLIP)

    def let_go(self, a: Demonstration, t: int) -> bool:
        """Whether within the contact that holds at t the gripper was last told to open: the work is done, or nearly."""
        onset = a.onset(t)
        begin = t if onset is None else onset
        flips = [k for k in range(begin + 1, t + 1) if self.flips(a.actions[k], a.actions[k - 1])]
        change = (a.actions[flips[-1]] - a.actions[flips[-1] - 1]) / self.span if flips else self.span * 0
        return bool(change[self.grippers].sum() > 0)

    def undo(self, a: Demonstration, t: int, to: int) -> list[np.ndarray]:
        """A's states from t back to `to`, the gripper's command of each; it waits where that changes.

        What is held goes back as it came; the free hand does not dawdle as it did on its way there.
        """
        way: list[np.ndarray] = []
        touching, held = filled(a.contact), 1  # rows at whose end the hand is free
        for k in range(t, to - 1, -1):
            row = self._row(a, k)
            if way and self.flips(row, way[-1]):
                way += [np.where(self.grippers, way[-1], row)] * self.lag
                way += [row] * OPENING
            elif not way or np.abs(row - way[-1])[~self.grippers].max() > STILL:
                way.append(row)
            else:
                continue
            if touching[k] or self.flips(row, way[held - 1]):
                held = len(way)
        return way[:held] + self.paced(way[held - 1 :])

    def paced(self, way: list[np.ndarray]) -> list[np.ndarray]:
        """The same way travelled at PACE, without its first row."""
        rows = np.array(way)
        gone = np.concatenate([[0], np.abs(np.diff(rows, axis=0))[:, ~self.grippers].max(1).cumsum()])
        at = np.linspace(0, gone[-1], int(np.ceil(gone[-1] / PACE)) + 1)[1:]
        return list(np.stack([np.interp(at, gone, column) for column in rows.T], 1).astype(rows.dtype))

    def line(self, start: np.ndarray, goal: np.ndarray, gripper: np.ndarray) -> list[np.ndarray]:
        """The straight way between two rows, its end included, the gripper as commanded at the end."""
        goal = np.where(self.grippers, gripper, goal)
        steps = int(np.ceil(np.abs(goal - start)[~self.grippers].max() / PACE))
        return [np.where(self.grippers, goal, start + (goal - start) * i / steps) for i in range(1, steps + 1)]

    def turned(self, a: Demonstration, t: int, commands: np.ndarray) -> np.ndarray:
        """Commands (N, A), blended out of A's own at t, none of them faster than the arm may."""
        commands, turn = np.array(commands), np.arange(min(BLEND, len(commands)))
        share = (turn + 1) / (BLEND + 1)
        old = a.actions[np.minimum(braking(t)[turn], len(a.actions) - 1)]
        blended = old + (share * share * (3 - 2 * share))[:, None] * (commands[turn] - old)
        commands[turn] = np.where(self.grippers, commands[turn], blended)
        # Where two motions meet the arm catches up, no faster than it may.
        step = SLOWER * self.contract.limits.velocity / self.contract.rate
        last = a.actions[max(0, t - 1)]
        for i, row in enumerate(commands):
            last = commands[i] = np.where(self.grippers, row, np.clip(row, last - step, last + step))
        return commands

    def flips(self, row: np.ndarray, other: np.ndarray) -> bool:
        """Whether a gripper is told something else in one row than in the other."""
        return bool((np.abs(row - other) / self.span > FLIP)[self.grippers].any())

    def free(self, b: Demonstration) -> int:
        """The end of B's beginning: its steps before the hand goes for the first contact."""
        contacts = b.contacts()
        return (contacts[0][0] - CLEAR if contacts else len(b.state) // 2) + 1

    def _join(self, here: np.ndarray, b: Demonstration, end: int) -> int:
        """The step of B's beginning from which B is done soonest."""
        if not self.links:
            return 0
        away = np.abs(b.state[:end] - here)[:, ~self.grippers].max(1) / PACE
        return int(np.argmin(away + np.arange(end, 0, -1)))

    def _grasp(self, d: Demonstration, t: int) -> tuple[int, int, int] | None:
        """When the gripper that is closed on something at t was told to close, had closed, and is opened."""
        if not self.grippers.any():
            return None
        flips = [k for k in range(1, len(d.actions)) if self.flips(d.actions[k], d.actions[k - 1])]
        before, after = [k for k in flips if k <= t], [k for k in flips if k > t]
        if not before or not after:
            return None
        closing = d.actions[before[-1]] < d.actions[before[-1] - 1]
        settled = before[-1] + OPENING
        if not (closing & self.grippers).any() or settled >= after[0]:
            return None
        # A gripper that reaches what it was told holds nothing.
        empty = np.abs(d.state[settled] - d.actions[settled]) / self.span < FLIP
        return None if empty[self.grippers].all() else (before[-1], settled, after[0])

    def _row(self, d: Demonstration, t: int) -> np.ndarray:
        """Where the arm was at t, and what the gripper had been told."""
        return np.where(self.grippers, d.actions[max(0, t - 1)], d.state[t])

    def _commands(
        self, a: Demonstration, t: int, leave: int, rows: np.ndarray, labels: list[int], b: Demonstration, joined: int
    ) -> Switch:
        """Set-points that lead the arm along the rows, blended out of A's own at `leave`."""
        beyond = b.state[np.minimum(joined + np.arange(self.lag), len(b.state) - 1)]
        arm = np.concatenate([rows, beyond])[self.lag :]
        commands = np.where(self.grippers, rows, arm)
        commands = self.turned(a, leave, np.concatenate([commands, b.actions[joined:]]))
        on = a.actions[t:leave]
        mode = np.array([ADVANCE] * len(on) + labels + [FORWARD] * (len(b.actions) - joined), np.uint8)
        return Switch(np.concatenate([on, commands]).astype(np.float32), mode, joined)


def braking(t: int) -> np.ndarray:
    """The steps (BLEND,) of a demonstration that is brought to rest from t on."""
    turn = np.arange(BLEND)
    return (t + turn * (1 - 0.5 * turn / BLEND)).round().astype(int)


def filled(contact: np.ndarray) -> np.ndarray:
    """Contact (T,) bool with its short gaps filled."""
    out, touched = np.array(contact, bool), np.flatnonzero(contact)
    for first, second in pairwise(touched):
        if second - first <= GAP:
            out[first:second] = True
    return out
