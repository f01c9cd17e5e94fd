"""What each method does when the instruction changes: ours, and three baselines that ignore what the hand holds.

A method takes control when an instruction is given. It yields after each of its own control steps: whether that step
serves the instruction. When it is exhausted, the policy is in control again.
"""

from collections.abc import Callable, Iterator

import numpy as np

from sim.rollout import SimulatedLoop
from sim.worlds.interface import RATE

OPENING = RATE // 2  # control steps for which the hand opens in place

Method = Callable[[SimulatedLoop, str], Iterator[bool]]


def ours(robot: SimulatedLoop, instruction: str) -> Iterator[bool]:
    """The policy gets the instruction at once; of the old chunk only what an inference cannot replace is executed."""
    robot.instruct(instruction)
    yield from ()


def keep(robot: SimulatedLoop, instruction: str) -> Iterator[bool]:
    """The current chunk is executed to its end; then the policy gets the instruction."""
    while robot.scheduled:
        robot.follow_schedule()
        yield False
    robot.instruct(instruction)


def flush(robot: SimulatedLoop, instruction: str) -> Iterator[bool]:
    """The current chunk is discarded: the arm rests until the chunk of the new instruction arrives."""
    robot.drop_chunk()
    robot.instruct(instruction)
    yield from ()


def retreat(robot: SimulatedLoop, instruction: str) -> Iterator[bool]:
    """A script opens the hand in place and moves home at the velocity limits; then the policy gets the instruction."""
    robot.drop_chunk()
    contract = robot.session.contract
    way = way_home(robot.command, robot.world.home, contract.limits.velocity, contract.grippers)
    times = robot.world.time_ns + robot.session.spec.dt_ns * np.arange(1, len(way) + 1)
    for i in range(len(way)):
        robot.follow(times[i:], way[i:])
        yield True
    robot.instruct(instruction)


def way_home(current: np.ndarray, home: np.ndarray, velocity: np.ndarray, grippers: np.ndarray) -> np.ndarray:
    """Set-points (N, A) from the current one (A,) to `home` (A,), none faster than `velocity` (A,) [rad/s, m/s].

    `grippers` (A,) bool marks what opens first, in place. Minimum jerk in joint space (Flash and Hogan, 1985): its
    peak velocity is 1.875 times its mean.
    """
    opened = np.where(grippers, home, current)
    change = home - opened
    steps = max(1, int(np.ceil(1.875 * np.max(np.abs(change) / velocity) * RATE)))
    s = np.arange(1, steps + 1)[:, None] / steps
    return np.concatenate([np.repeat(opened[None], OPENING, 0), opened + change * s**3 * (10 - 15 * s + 6 * s * s)])


METHODS: dict[str, Method] = {"ours": ours, "keep": keep, "flush": flush, "retreat": retreat}
BASELINES = tuple(name for name in METHODS if name != "ours")
