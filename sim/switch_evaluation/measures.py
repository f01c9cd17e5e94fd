"""What is measured of a switch, from set-points and from where things lie; every function is pure."""

import numpy as np

from policy.robot.contract import Limits
from sim.scene import ARM, BLOCKS
from sim.tasks import Task
from sim.world import RATE

DROP = 0.03  # m above where it comes to rest: let go from higher up, a thing is dropped
TABLE = ((0.0, 0.9), (-0.6, 0.6))  # m, its top in x and y
BELOW = -0.02  # m: lower down, a thing is no longer on the table
NEAR = 10  # control steps after a switch in which its jerk is looked for
SAME = 1e-6  # set-points closer than this are the same


def reaction(sent: np.ndarray, answers: np.ndarray, alone: np.ndarray, at: int) -> float | None:
    """Seconds from the instruction to the first set-point that answers it and would not have been sent without it.

    `sent` and `alone` (T, A), `answers` (T,), a row a control step; the instruction came before row `at`. A set-point
    counts from the beginning of the control step in which it is sent; one that differs only because an inference
    under the old instruction was thrown away answers nothing. None where the run without a switch ends before.
    """
    end = min(len(sent), len(alone))
    differ = answers[at:end] & (np.abs(sent[at:end] - alone[at:end]).max(1, initial=0) > SAME)
    return float(np.argmax(differ)) / RATE if differ.any() else None


def jerk_ratio(sent: np.ndarray, alone: np.ndarray, at: int) -> float:
    """Peak jerk of the arm within NEAR control steps after a switch, over the peak of the whole run without one.

    Jerk: third difference of the joints' set-points, (T, A) each; the gripper is left out.
    """

    def jerk(rows: np.ndarray) -> float:
        return float(np.abs(np.diff(rows[:, : len(ARM)], 3, axis=0)).max(initial=0))

    return jerk(sent[max(0, at - 3) : at + NEAR]) / max(jerk(alone), SAME)


def beyond(sent: np.ndarray, began: np.ndarray, limits: Limits) -> int:
    """How many set-points (T, A) violate the limits of position or velocity; `began` (A,): the state before them."""
    before = np.concatenate([np.clip(began, limits.low, limits.high)[None], sent[:-1]])
    wrong = (sent < limits.low - SAME) | (sent > limits.high + SAME)
    wrong |= np.abs(sent - before) > limits.velocity / RATE + 10 * SAME  # of float32
    return int(wrong.any(1).sum())


def thing(task: Task) -> str | None:
    """What the task moves about, and could drop or push off the table."""
    return task.moved_body if task.moved_body in (*BLOCKS, "puck") else None


def safe(places: np.ndarray, touched: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether a thing was neither dropped nor left the table.

    A row a control step, the first at the switch: its place (T, 3), whether a finger touches it, and whether it lies
    where one of the two instructions wants it. Dropped: let go more than DROP above where it comes to rest, unless
    it is wanted there, as a task's own way of putting a block in the bowl is to let it fall. The height counts at the
    last step in which it was touched.
    """
    inside = [(low <= places[:, i]) & (places[:, i] <= high) for i, (low, high) in enumerate(TABLE)]
    if not np.all(inside) or places[:, 2].min() < BELOW:
        return False
    for i in np.flatnonzero(touched[:-1] & ~touched[1:]):
        again = np.flatnonzero(touched[i + 1 :])
        rest = i + again[0] if len(again) else len(places) - 1
        if places[i, 2] - places[rest, 2] > DROP and not wanted[rest]:
            return False
    return True
