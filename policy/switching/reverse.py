"""The way back in a recording's own frames: what it saw, in reverse, and the set-points that would lead there.

    recorded   0 ...... clear ...... onset .... t . . . . .
                                                |--->|         the arm comes to rest, in A's own frames
               |<---------|<-------------------------|         and goes back through them
                 advance          rollback

No simulator is needed, as nothing is shown that was not seen. Set-points are derived anew: the arm's are the
states that lie its lag ahead on the way; a gripper is told to open where it had closed on something, and what it
was seen to do while it closed shows it opening.
"""

from dataclasses import dataclass

import numpy as np

from policy.robot.contract import Contract
from policy.switching.stitching import ADVANCE, CLEAR, FORWARD, LEFT, ROLLBACK, STILL, Demonstration, Synthesis, braking

LAGS = range(9)  # steps
DELAY = 0.2  # s that a gripper may take to follow its command
CREEP = 0.01  # of a gripper's range per step: what moves less stands
PAUSE = 2  # steps: a gripper that stands for so short goes on


@dataclass(frozen=True, slots=True)
class Way:
    """Frames of a recording in a new order, what to command in each and in which mode."""

    frames: list[int]
    actions: np.ndarray  # (N, A)
    mode: np.ndarray  # (N,) uint8 into MODES


def lag(demo: Demonstration, grippers: np.ndarray) -> int:
    """Steps by which the arm follows its commands."""
    far = [
        float(np.abs(demo.state[k:] - demo.actions[: len(demo.actions) - k])[:, ~grippers].mean())
        for k in LAGS
        if k < len(demo.state)
    ]
    return int(np.argmin(far))


def back(contract: Contract, demo: Demonstration, t: int, home: bool) -> Way | None:
    """From step t back to where the hand was free, with `home` on to the first frame; None if it is there already.

    After an earlier contact it goes no further back than that, because what was done then stays done.
    """
    contacts, onset = demo.contacts(), demo.onset(t)
    begin = onset if onset is not None else next((first for first, _ in contacts if first > t), t + CLEAR + 1)
    over = max([end for _, end in contacts if end <= begin], default=None)
    clear = max(begin - CLEAR, 0 if over is None else over)
    goal = 0 if home and over is None else clear
    if t <= goal:
        return None
    synthesis = Synthesis(contract, lag(demo, contract.grippers))
    told = _told(demo, contract)
    rest = _rest(demo, t, onset, synthesis)
    frames, gripper = _frames(demo, rest, goal, synthesis.lag, told, contract)
    ahead = demo.state[np.array(frames + [goal] * synthesis.lag)[synthesis.lag :]]
    commands = np.where(contract.grippers, gripper, ahead)
    mode = [ROLLBACK if onset is not None and k > clear else ADVANCE for k in frames]
    return Way(frames, synthesis.turned(demo, t, commands).astype(np.float32), np.array(mode, np.uint8))


def leaving(demo: Demonstration, t: int) -> Way | None:
    """After the work is done: A's own frames from t on, until the hand is free of what was done."""
    over = [end for first, end in demo.contacts() if first <= t]
    frames = list(range(t, min(over[-1] + LEFT, len(demo.state)))) if over else []
    return Way(frames, demo.actions[frames], np.full(len(frames), ADVANCE, np.uint8)) if frames else None


def before(demo: Demonstration, begin: int, t: int) -> Way:
    """A's own frames until the switch."""
    frames = list(range(begin, t))
    return Way(frames, demo.actions[frames], np.full(len(frames), FORWARD, np.uint8))


def _rest(demo: Demonstration, t: int, onset: int | None, synthesis: Synthesis) -> list[int]:
    """The frames in which the arm comes to rest and sets off again, while neither gripper nor contact changes."""
    frames = []
    for k in braking(t).tolist():
        if (
            k >= len(demo.state)
            or demo.onset(k) != onset
            or synthesis.flips(demo.actions[max(0, k - 1)], demo.actions[max(0, t - 1)])
        ):
            break
        frames.append(k)
    return frames + frames[::-1]


def _frames(
    demo: Demonstration, rest: list[int], goal: int, lag: int, told: tuple[np.ndarray, set[int]], contract: Contract
) -> tuple[list[int], np.ndarray]:
    """The way's frames and the gripper's commands (N, A); standing still is not repeated."""
    commands, settled = told
    frames, gripper, last = list(rest), [commands[k] for k in rest], rest[-1]
    span = contract.limits.high - contract.limits.low
    for k in range(rest[-1] - 1, goal - 1, -1):
        gone = np.abs(demo.state[k] - demo.state[last])
        if k in settled:  # the arm arrives, then the gripper, which follows its command late
            frames += [k] * 2 * lag
            gripper += [commands[k + 1]] * lag + [commands[k]] * lag
        elif k > goal and (gone < np.where(contract.grippers, CREEP * span, STILL)).all():
            continue
        frames.append(k)
        gripper.append(commands[k])
        last = k
    return frames, np.array(gripper)


def _told(demo: Demonstration, contract: Contract) -> tuple[np.ndarray, set[int]]:
    """What the gripper is told in each frame on the way back (T, A), and the frames in which it begins to move.

    Where it moved, it is told what it had been told before; elsewhere what it was told then.
    """
    told = np.concatenate([demo.actions[:1], demo.actions[:-1]])
    begins, early = set[int](), max(1, round(DELAY * contract.rate))
    for g in np.flatnonzero(contract.grippers):
        span = contract.limits.high[g] - contract.limits.low[g]
        moving = np.abs(np.diff(demo.state[:, g], prepend=demo.state[0, g])) > CREEP * span
        steps = np.flatnonzero(moving)
        source = told[:, g].copy()
        for run in np.split(steps, np.flatnonzero(np.diff(steps) > PAUSE) + 1) if len(steps) else ():
            first, last = int(run[0]), int(run[-1])
            told[max(0, first - early) : last + 1, g] = source[first - early] if first > early else demo.state[0, g]
            begins.add(last)
    return told, begins
