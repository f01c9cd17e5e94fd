"""Switches stitched from two demonstrations: the set-points when the instruction changes from task A to task B.

    A's set-points | rollback: A's states reversed | advance: straight line to B's approach | B's set-points from there
                   ^ the switch

After SwitchVLA (docs/switching.md). Rollback reverses *states*, because reversed set-points lead the arm by its
tracking lag in the wrong direction; set-points are derived from the states again. The contact at the switch decides:

    no contact yet, none soon     advance
    no contact yet, one soon      back to where the approach began, then advance
    in contact                    rollback, then advance
    in contact, B's own grasp     advance to where B carries the same thing (shared grasp)
    released or after contact     A's own retreat, then advance

Nothing here depends on the tasks.
"""

from dataclasses import dataclass

import numpy as np

from policy.robot.contract import Contract
from policy.switching.demonstration import (
    ADVANCE,
    APPROACH_STEPS,
    FORWARD,
    RETREAT_STEPS,
    ROLLBACK,
    Demonstration,
    fill_gaps,
)
from policy.switching.gripper import GRIPPER_STEPS, command_changes, has_released
from policy.switching.motion import PACE, STANDSTILL, at_pace, blend, row_at, steps_apart, straight_line
from policy.switching.shared_grasp import same_first_grasp, shared_grasp_step

WAIT_STEPS = 6  # steps that the new motion waits while A's motion brakes


@dataclass(frozen=True, slots=True)
class Switch:
    """The set-points from the switch on, one row a step."""

    actions: np.ndarray  # (N, A)
    mode: np.ndarray  # (N,) uint8 into MODES
    join_step: int  # the step of B's demonstration at which its own set-points begin


@dataclass(frozen=True, slots=True)
class SwitchStitcher:
    """Stitches switches for one robot.

    `lag` is the number of steps by which the arm follows its set-points. With `shared_grasp` False, B always begins
    at its start (for the ablation).
    """

    contract: Contract
    lag: int
    shared_grasp: bool = True

    def stitch(self, a: Demonstration, t: int, b: Demonstration) -> Switch | None:
        """The switch from A's step t to the end of B; None if B begins in contact."""
        onset = None if has_released(self.contract, a, t) else a.onset(t)
        ended = [end for first, end in a.contacts() if first <= t]
        soon = next((first for first, _ in a.contacts() if t < first <= t + APPROACH_STEPS), None)
        same = onset is None and soon is not None and self.shared_grasp and same_first_grasp(self.contract, a, soon, b)
        leave, mode = t, ADVANCE
        shared = self.shared_grasp_step(a, t, b) if onset is not None else None
        path: list[np.ndarray]
        if shared is not None:
            path = [row_at(self.contract, a, t)]
        elif onset is not None:
            path, mode = self.reverse_states(a, t, max(0, onset - APPROACH_STEPS)), ROLLBACK
        elif soon is not None and not same:
            path = self.reverse_states(a, t, min(t, max([0, soon - APPROACH_STEPS, *ended])))
        else:
            leave = max(t, min(ended[-1] + RETREAT_STEPS, len(a.state) - 1)) if ended else t
            path = [row_at(self.contract, a, leave)]
        end = b.contacts()[0][0] if same else free_steps(b)
        if shared is None and end <= 0:
            return None
        join = shared if shared is not None else self._join(path[-1], b, end)
        line = straight_line(self.contract, path[-1], b.state[join], b.actions[max(0, join - 1)])
        rows = np.array([path[0]] * WAIT_STEPS + path + line)
        modes = [mode] * (WAIT_STEPS + len(path)) + [ADVANCE] * len(line)
        return self._commands(a, t, leave, rows, modes, b, join)

    def shared_grasp_step(self, a: Demonstration, t: int, b: Demonstration) -> int | None:
        """`shared_grasp.shared_grasp_step`, None where shared grasps are left out."""
        return shared_grasp_step(self.contract, a, t, b) if self.shared_grasp else None

    def reverse_states(self, a: Demonstration, t: int, to: int) -> list[np.ndarray]:
        """Rows (A,) of A from step t back to step `to`; the arm waits where the gripper's command changes.

        A held object goes back as it came. The free hand goes back the same way at PACE, without pauses.
        """
        hands = self.contract.grippers
        path: list[np.ndarray] = []
        touching, held = fill_gaps(a.contact), 1  # `held` rows from the start, then the hand is free
        for k in range(t, to - 1, -1):
            row = row_at(self.contract, a, k)
            if path and command_changes(self.contract, row, path[-1]):
                path += [np.where(hands, path[-1], row)] * self.lag
                path += [row] * GRIPPER_STEPS
            elif not path or steps_apart(self.contract, row, path[-1]) > STANDSTILL:
                path.append(row)
            else:
                continue
            if touching[k] or command_changes(self.contract, row, path[held - 1]):
                held = len(path)
        return path[:held] + at_pace(self.contract, path[held - 1 :])

    def _join(self, here: np.ndarray, b: Demonstration, end: int) -> int:
        """The step of B before `end` from which B ends soonest: straight motion to it plus the rest of B."""
        if not self.shared_grasp:
            return 0
        distance = steps_apart(self.contract, b.state[:end], here) / PACE
        return int(np.argmin(distance + np.arange(end, 0, -1)))

    def _commands(
        self, a: Demonstration, t: int, leave: int, rows: np.ndarray, modes: list[int], b: Demonstration, join: int
    ) -> Switch:
        """The set-points that lead the arm along the rows, blended out of A's own at step `leave`."""
        beyond = b.state[np.minimum(join + np.arange(self.lag), len(b.state) - 1)]
        arm = np.concatenate([rows, beyond])[self.lag :]
        commands = np.where(self.contract.grippers, rows, arm)
        commands = blend(self.contract, a, leave, np.concatenate([commands, b.actions[join:]]))
        retreat = a.actions[t:leave]
        mode = np.array([ADVANCE] * len(retreat) + modes + [FORWARD] * (len(b.actions) - join), np.uint8)
        return Switch(np.concatenate([retreat, commands]).astype(np.float32), mode, join)


def free_steps(b: Demonstration) -> int:
    """The number of B's steps before the hand approaches the first contact."""
    contacts = b.contacts()
    return (contacts[0][0] - APPROACH_STEPS if contacts else len(b.state) // 2) + 1
