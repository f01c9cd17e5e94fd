"""A recording played backwards: its own frames in reverse, with the set-points that would lead the arm there.

    recorded   0 ...... free ...... onset .... t . . . . .
                                                |--->|         the arm brakes, in the recording's own frames
               |<---------|<-------------------------|         and goes back through them
                 advance          rollback

No simulator is needed, as every frame is a recorded one. Set-points are derived again: those of the arm are the
states that lie its tracking lag ahead on the reversed path; a gripper is commanded to open where it had closed, and
the frames of its closing show it opening.
"""

from dataclasses import dataclass

import numpy as np

from policy.robot.contract import Contract
from policy.switching.demonstration import ADVANCE, APPROACH_STEPS, FORWARD, RETREAT_STEPS, ROLLBACK, Demonstration
from policy.switching.gripper import action_range, command_changes
from policy.switching.motion import STANDSTILL, blend, braking_steps, full_speed

LAGS = range(9)  # steps: tracking lags that are tried
GRIPPER_DELAY = 0.2  # s that a gripper may take to follow its command
GRIPPER_STANDSTILL = 0.01  # of a gripper's range per step: a slower one stands
PAUSE = 2  # steps: a gripper that stands this briefly is still in one motion


@dataclass(frozen=True, slots=True)
class Segment:
    """Frames of a recording in a new order, with set-point and mode of each."""

    frames: list[int]
    actions: np.ndarray  # (N, A)
    mode: np.ndarray  # (N,) uint8 into MODES


def tracking_lag(demo: Demonstration, grippers: np.ndarray) -> int:
    """Steps by which the arm follows its set-points; `grippers` (A,) bool are left out."""
    distance = [
        float(np.abs(demo.state[k:] - demo.actions[: len(demo.actions) - k])[:, ~grippers].mean())
        for k in LAGS
        if k < len(demo.state)
    ]
    return int(np.argmin(distance))


def reverse_segment(contract: Contract, demo: Demonstration, t: int, to_start: bool) -> Segment | None:
    """From step t back to where the hand was free, with `to_start` on to step 0; None if the hand is there at t.

    It never goes back beyond an earlier contact, because the result of that contact stays.
    """
    contacts, onset = demo.contacts(), demo.onset(t)
    following = next((first for first, _ in contacts if first > t), t + APPROACH_STEPS + 1)
    begin = following if onset is None else onset
    earlier = max([end for _, end in contacts if end <= begin], default=None)
    free = max(begin - APPROACH_STEPS, 0 if earlier is None else earlier)
    goal = 0 if to_start and earlier is None else free
    if t <= goal:
        return None
    lag = tracking_lag(demo, contract.grippers)
    gripper, settled = _gripper_commands(demo, contract)
    brake = _brake(contract, demo, t, onset)
    frames, gripper = _reversed_frames(contract, demo, brake, goal, lag, gripper, settled)
    ahead = demo.state[np.array(frames + [goal] * lag)[lag:]]
    commands = blend(contract, demo, t, np.where(contract.grippers, gripper, ahead))
    mode = [ROLLBACK if onset is not None and k > free else ADVANCE for k in frames]
    return Segment(frames, commands.astype(np.float32), np.array(mode, np.uint8))


def retreat_segment(demo: Demonstration, t: int) -> Segment | None:
    """After a contact: the recording's own frames from t until the hand is free; None if it is free at t."""
    ended = [end for first, end in demo.contacts() if first <= t]
    frames = list(range(t, min(ended[-1] + RETREAT_STEPS, len(demo.state)))) if ended else []
    return Segment(frames, demo.actions[frames], np.full(len(frames), ADVANCE, np.uint8)) if frames else None


def forward_segment(demo: Demonstration, begin: int, t: int) -> Segment:
    """The recording's own frames from step `begin` to the switch at t."""
    frames = list(range(begin, t))
    return Segment(frames, demo.actions[frames], np.full(len(frames), FORWARD, np.uint8))


def _brake(contract: Contract, demo: Demonstration, t: int, onset: int | None) -> list[int]:
    """The frames in which the arm stops and sets off again, while neither gripper command nor contact changes."""
    frames = []
    for k in braking_steps(t).tolist():
        if (
            k >= len(demo.state)
            or demo.onset(k) != onset
            or command_changes(contract, demo.actions[max(0, k - 1)], demo.actions[max(0, t - 1)])
        ):
            break
        frames.append(k)
    return frames + frames[::-1]


def _reversed_frames(
    contract: Contract,
    demo: Demonstration,
    brake: list[int],
    goal: int,
    lag: int,
    commands: np.ndarray,
    settled: set[int],
) -> tuple[list[int], np.ndarray]:
    """The reversed frames down to `goal` and their gripper commands (N, A), pauses left out."""
    frames, gripper, last = list(brake), [commands[k] for k in brake], brake[-1]
    standing = GRIPPER_STANDSTILL * action_range(contract), STANDSTILL * full_speed(contract)
    standstill = np.where(contract.grippers, *standing)
    for k in range(brake[-1] - 1, goal - 1, -1):
        if k in settled:  # the arm arrives, then the gripper, which follows its command late
            frames += [k] * 2 * lag
            gripper += [commands[k + 1]] * lag + [commands[k]] * lag
        elif k > goal and (np.abs(demo.state[k] - demo.state[last]) < standstill).all():
            continue
        frames.append(k)
        gripper.append(commands[k])
        last = k
    return frames, np.array(gripper)


def _gripper_commands(demo: Demonstration, contract: Contract) -> tuple[np.ndarray, set[int]]:
    """The gripper's command at each frame of the reversed path (T, A), and the frames in which it starts to move.

    While it moved, the command is the one before that motion; elsewhere it is the recorded one.
    """
    commands = np.concatenate([demo.actions[:1], demo.actions[:-1]])
    starts, delay = set[int](), max(1, round(GRIPPER_DELAY * contract.rate))
    for g in np.flatnonzero(contract.grippers):
        threshold = GRIPPER_STANDSTILL * action_range(contract)[g]
        steps = np.flatnonzero(np.abs(np.diff(demo.state[:, g], prepend=demo.state[0, g])) > threshold)
        recorded = commands[:, g].copy()
        for motion in np.split(steps, np.flatnonzero(np.diff(steps) > PAUSE) + 1) if len(steps) else ():
            first, last = int(motion[0]), int(motion[-1])
            before = recorded[first - delay] if first > delay else demo.state[0, g]
            commands[max(0, first - delay) : last + 1, g] = before
            starts.add(last)
    return commands, starts
