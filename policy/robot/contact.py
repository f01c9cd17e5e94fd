"""Contact of a demonstration without a label of it, from what the gripper holds and from the motors' efforts.

    gripper   commanded to close, it has stopped short of that
    motors    the effort departs from what the arm's own motion asks for: for each joint, over the whole bag,
                  effort = a velocity + b . (all joints' accelerations) + c position + d
              by a robust fit; what is left is held against its median absolute deviation, with hysteresis

A label in the bag is better than either (see benchmarks/contact.py).
"""

import numpy as np

from policy.robot.contract import Contract

SHORT = 0.05  # of a gripper's range: commanded further than it is
CREEP = 0.2  # of its range per second: what closes faster than this has not stopped
DELAY = 0.2  # s that a gripper may take to follow a new command
FLIP = 0.05  # of its range: a change of its command
ON, OFF = 1.5, 0.75  # norm of the departing efforts, in deviations
SLACK = 0.1  # of the effort that the motion asks for: how wrong a linear fit may be of it
LASTS = 3  # steps: a shorter departure is a jolt
ROUNDS = 15  # of reweighting
TUNED = 1.5  # deviations from which on a frame counts less
FRAMES = 4  # for each number that is fitted: fewer do not define free motion


def estimate(contract: Contract, state: np.ndarray, actions: np.ndarray, motion: np.ndarray) -> np.ndarray | None:
    """Contact (T,) bool of successive frames, None without a gripper and without efforts.

    state (T, S), actions (T, A); motion (T, J, 3) as policy.robot.motors gives it.
    """
    departed = departs(motion)
    if not contract.grippers.any():
        return departed
    hands = contract.grippers
    span = (contract.limits.high - contract.limits.low)[hands]
    held = holds(state[:, contract.measured[hands]] / span, actions[:, hands] / span, contract.rate)
    return held if departed is None else held | departed


def holds(opening: np.ndarray, commanded: np.ndarray, rate: float) -> np.ndarray:
    """Whether a gripper is kept from closing, (T,) bool; opening and command (T, G) as parts of the range."""
    in_force = np.concatenate([commanded[:1], commanded[:-1]])
    changed = np.abs(np.diff(in_force, axis=0, prepend=in_force[:1])) > FLIP
    changed[:1] = True
    steps = np.arange(len(commanded))[:, None]
    since = steps - np.maximum.accumulate(np.where(changed, steps, 0))
    closing = np.diff(opening, axis=0, prepend=opening[:1]) < -CREEP / rate
    held: np.ndarray = ((opening - in_force > SHORT) & ~closing & (since >= round(DELAY * rate))).any(1)
    return held


def departs(motion: np.ndarray) -> np.ndarray | None:
    """Whether the efforts depart from free motion, (T,) bool; None where there are none, or too few."""
    known = np.isfinite(motion).all((0, 2)) & (np.ptp(motion[:, :, 2], axis=0) > 0 if len(motion) else False)
    position, velocity, effort = np.moveaxis(motion[:, known], 2, 0)
    if not known.any() or len(motion) < FRAMES * (3 + known.sum()):
        return None
    moved, gained = (np.diff(x, axis=0, prepend=x[:1]) for x in (position, velocity))
    share = [
        _departure(effort[:, j], np.column_stack([moved[:, j], gained]), position[:, j]) for j in range(effort.shape[1])
    ]
    return _lasting(np.sqrt(np.mean(np.square(share), axis=0)))


def _departure(effort: np.ndarray, dynamics: np.ndarray, position: np.ndarray) -> np.ndarray:
    """What a fit leaves of a joint's effort (T,), in deviations."""
    terms = np.column_stack([dynamics, position - position.mean(), np.ones_like(effort)])
    terms = terms / np.maximum(np.abs(terms).max(0), 1e-9)
    small, weight = 1e-6 * np.eye(terms.shape[1]), np.ones_like(effort)
    for _ in range(ROUNDS):
        weighted = terms * weight[:, None]
        parts = terms * np.linalg.solve(weighted.T @ terms + small, weighted.T @ effort)
        left = effort - parts.sum(1)
        deviation = 1.4826 * float(np.median(np.abs(left))) + 1e-9
        weight = 1 / np.maximum(1, np.abs(left) / (TUNED * deviation)) ** 2
    in_deviations: np.ndarray = left / (deviation + SLACK * np.abs(parts[:, : dynamics.shape[1]]).sum(1))
    return in_deviations


def _lasting(size: np.ndarray) -> np.ndarray:
    """Hysteresis (T,) bool, without what is over at once."""
    out, begun = np.zeros(len(size), bool), -1
    for t, value in enumerate(size):
        begun = -1 if value <= (OFF if begun >= 0 else ON) else begun if begun >= 0 else t
        if begun >= 0 and t - begun + 1 >= LASTS:
            out[begun : t + 1] = True
    return out
