"""Motion that no demonstration shows: straight lines at a fixed pace, braking, and blending within velocity limits.

A row (A,) is a position of the arm, of its joints or of its hand, together with the gripper's command. How far apart
two rows are is counted in steps at full speed, so that it means the same in radians and in metres.
"""

import numpy as np

from policy.robot.contract import Contract
from policy.switching.demonstration import Demonstration

PACE = 0.55  # of full speed: of the straight motion and of the free hand's way back
BLEND_STEPS = 8  # steps in which A's motion turns into the new one
VELOCITY_MARGIN = 0.95  # of the velocity limits
STANDSTILL = 0.02  # of full speed: slower steps are a pause, which a reversed path leaves out


def full_speed(contract: Contract) -> np.ndarray:
    """What each set-point (A,) may change in one step."""
    fastest: np.ndarray = contract.limits.velocity / contract.rate
    return fastest


def steps_apart(contract: Contract, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The steps (...) that the arm takes at full speed between rows (..., A)."""
    arm = ~contract.grippers
    apart: np.ndarray = (np.abs(np.asarray(rows) - others) / full_speed(contract))[..., arm].max(-1)
    return apart


def row_at(contract: Contract, demo: Demonstration, t: int) -> np.ndarray:
    """The arm's position at step t and the gripper command in force then (A,)."""
    row: np.ndarray = np.where(contract.grippers, demo.actions[max(0, t - 1)], demo.state[t])
    return row


def straight_line(contract: Contract, start: np.ndarray, goal: np.ndarray, gripper: np.ndarray) -> list[np.ndarray]:
    """Rows (A,) from `start` (excluded) to `goal` (included) at PACE, with the gripper commands of `gripper` (A,)."""
    hands = contract.grippers
    goal = np.where(hands, gripper, goal)
    steps = int(np.ceil(steps_apart(contract, goal, start) / PACE))
    return [np.where(hands, goal, start + (goal - start) * i / steps) for i in range(1, steps + 1)]


def at_pace(contract: Contract, path: list[np.ndarray]) -> list[np.ndarray]:
    """The same path of rows (A,), resampled to PACE and without its first row."""
    rows = np.array(path)
    length = np.concatenate([[0], steps_apart(contract, rows[1:], rows[:-1]).cumsum()])
    at = np.linspace(0, length[-1], int(np.ceil(length[-1] / PACE)) + 1)[1:]
    return list(np.stack([np.interp(at, length, column) for column in rows.T], 1).astype(rows.dtype))


def blend(contract: Contract, demo: Demonstration, t: int, commands: np.ndarray) -> np.ndarray:
    """Set-points (N, A) that begin as the demonstration brakes from step t on and turn into `commands` (N, A).

    No arm joint moves faster than VELOCITY_MARGIN of its limit; where two motions meet, the arm catches up.
    """
    commands, steps, hands = np.array(commands), np.arange(min(BLEND_STEPS, len(commands))), contract.grippers
    share = (steps + 1) / (BLEND_STEPS + 1)
    old = demo.actions[np.minimum(braking_steps(t)[steps], len(demo.actions) - 1)]
    blended = old + (share * share * (3 - 2 * share))[:, None] * (commands[steps] - old)
    commands[steps] = np.where(hands, commands[steps], blended)
    largest = VELOCITY_MARGIN * full_speed(contract)
    last = demo.actions[max(0, t - 1)]
    for i, row in enumerate(commands):
        last = commands[i] = np.where(hands, row, np.clip(row, last - largest, last + largest))
    return commands


def braking_steps(t: int) -> np.ndarray:
    """The steps (BLEND_STEPS,) of a demonstration that is played ever slower from step t on."""
    steps = np.arange(BLEND_STEPS)
    return (t + steps * (1 - 0.5 * steps / BLEND_STEPS)).round().astype(int)
