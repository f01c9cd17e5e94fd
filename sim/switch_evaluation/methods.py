"""What becomes of the arm when the instruction changes: ours, and three ways that know nothing of what it holds.

A method takes the controls when something is said. It yields after each control step of its own, and says whether
that step answered the instruction; when it is over the policy drives on.
"""

from collections.abc import Callable, Iterator

import numpy as np

from sim.layout import HOME
from sim.rollout import SimulatedLoop
from sim.world import OPEN, RATE

OPENING = RATE // 2  # control steps that the hand opens in place

Method = Callable[[SimulatedLoop, str], Iterator[bool]]


def ours(driver: SimulatedLoop, words: str) -> Iterator[bool]:
    """The policy is told at once, and chooses; of the old chunk only what cannot be taken back is executed."""
    driver.instruct(words)
    yield from ()


def keep(driver: SimulatedLoop, words: str) -> Iterator[bool]:
    """The text is swapped and the chunk is kept: it is executed to its end before the next inference."""
    while driver.scheduled:
        driver.coast()
        yield False
    driver.instruct(words)


def flush(driver: SimulatedLoop, words: str) -> Iterator[bool]:
    """The text is swapped and the chunk is thrown away: the arm is held until the new one is there."""
    driver.rest()
    driver.instruct(words)
    yield from ()


def retreat(driver: SimulatedLoop, words: str) -> Iterator[bool]:
    """A script opens the hand where it is and goes home, as fast as the limits allow; then the policy is told."""
    driver.rest()
    way = way_home(driver.command, driver.session.contract.limits.velocity)
    times = driver.world.time_ns + driver.session.spec.dt_ns * np.arange(1, len(way) + 1)
    for i in range(len(way)):
        driver.follow(times[i:], way[i:])
        yield True
    driver.instruct(words)


def way_home(now: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """Set-points (N, A) from the one in force, `now` (A,), none faster than `velocity` (A,) rad/s and m/s.

    Minimum jerk in joint space (Flash and Hogan 1985): its peak is 1.875 times its mean.
    """
    opened = np.append(now[:-1], OPEN)
    change = np.append(HOME, OPEN) - opened
    steps = max(1, int(np.ceil(1.875 * np.max(np.abs(change) / velocity) * RATE)))
    s = np.arange(1, steps + 1)[:, None] / steps
    return np.concatenate([np.repeat(opened[None], OPENING, 0), opened + change * s**3 * (10 - 15 * s + 6 * s * s)])


METHODS: dict[str, Method] = {"ours": ours, "keep": keep, "flush": flush, "retreat": retreat}
BASELINES = tuple(name for name in METHODS if name != "ours")
