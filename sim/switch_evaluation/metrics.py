"""Metrics of a switch, computed from set-points; every function is pure.

Set-points are arrays (T, A) with a row for each control step; `undisturbed` are those of the counterfactual episode,
the same one without the switch.
"""

import numpy as np

from policy.robot.commands import Limits
from sim.worlds.interface import RATE

JERK_STEPS = 10  # control steps after the policy answers a switch in which its peak jerk is looked for
SAME = 1e-6  # set-points closer than this are the same


def reaction_time(
    setpoints: np.ndarray, serves_newest: np.ndarray, undisturbed: np.ndarray, switch_step: int
) -> float | None:
    """Seconds from the instruction to the first set-point that serves it and differs from the counterfactual one.

    The instruction came before row `switch_step`; `serves_newest` (T,) says which set-points serve the newest
    instruction. A set-point counts from the beginning of its control step. One that differs only because an inference
    under the old instruction was discarded does not serve the new one. None where the counterfactual ends before.
    """
    end = min(len(setpoints), len(undisturbed))
    change = np.abs(setpoints[switch_step:end] - undisturbed[switch_step:end]).max(1, initial=0)
    differs = serves_newest[switch_step:end] & (change > SAME)
    return float(np.argmax(differs)) / RATE if differs.any() else None


def jerk_ratio(setpoints: np.ndarray, undisturbed: np.ndarray, switch_step: int, policy_serves: np.ndarray) -> float:
    """Peak jerk of the arm around the switch, divided by the peak of the whole counterfactual.

    It is looked for from the switch until JERK_STEPS after the first set-point by which the policy serves the newest
    instruction, `policy_serves` (T,): what a method does before that counts, and so does the seam after it. Jerk is
    the third difference of set-points. Give those of the arm alone: a gripper's command may jump.
    """
    answered = switch_step + int(np.argmax(np.append(policy_serves[switch_step:], True)))
    near = setpoints[max(0, switch_step - 3) : answered + JERK_STEPS]
    return _peak_jerk(near) / max(_peak_jerk(undisturbed), SAME)


def _peak_jerk(setpoints: np.ndarray) -> float:
    return float(np.abs(np.diff(setpoints, 3, axis=0)).max(initial=0))


def limit_violations(setpoints: np.ndarray, begun_at: np.ndarray, limits: Limits) -> int:
    """The number of set-points beyond the limits of position or velocity; `begun_at` (A,) comes before them.

    Of velocity the safety monitor promises at most 1.05 times its limit, averaged over a control step.
    """
    before = np.concatenate([np.clip(begun_at, limits.low, limits.high)[None], setpoints[:-1]])
    beyond = (setpoints < limits.low - SAME) | (setpoints > limits.high + SAME)
    beyond |= np.abs(setpoints - before) > 1.05 * limits.velocity / RATE
    return int(beyond.any(1).sum())
