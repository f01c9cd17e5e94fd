"""One joint of a recording, as the checks look at it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from policy.robot.contract import Contract


@dataclass(frozen=True)
class JointMotion:
    """One joint of N frames, in the policy's unit."""

    name: str
    at: np.ndarray  # (N,) s after the bag's first message
    measured: np.ndarray | None  # (N,), None of a velocity, which nothing measures
    commanded: np.ndarray  # (N,)
    low: float
    high: float
    velocity: float  # the limit, per second
    tracking: float  # how far the state may be from its command for long
    gripper: bool
    steps: np.ndarray  # (N - 1,) bool: the next frame is one step later

    @property
    def span(self) -> float:
        """The joint's range."""
        return self.high - self.low


def joints(
    contract: Contract, stamps: np.ndarray, state: np.ndarray, actions: np.ndarray, begin: int
) -> Iterator[JointMotion]:
    """Each joint of the action: stamps (N,) ns, state (N, S), actions (N, A), and when the bag begins [ns]."""
    spec, limits = contract.spec, contract.limits
    for j, name in enumerate(spec.action):
        place = int(contract.measured[j])
        measured = state[:, place].astype(np.float64) if place >= 0 else None
        yield JointMotion(
            name=name,
            at=(stamps - begin) * 1e-9,
            measured=measured,
            commanded=actions[:, j].astype(np.float64),
            low=float(limits.low[j]),
            high=float(limits.high[j]),
            velocity=float(limits.velocity[j]),
            tracking=float(contract.tracking_max[j]),
            gripper=bool(contract.grippers[j]),
            steps=np.diff(stamps) < 2 * spec.dt_ns,
        )


def longest(true: np.ndarray) -> tuple[int, int]:
    """The longest run of true values (N,): its first index, and the one after its last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]]).astype(np.int8)))
    if not len(edges):
        return 0, 0
    begins, ends = edges[::2], edges[1::2]
    i = int(np.argmax(ends - begins))
    return int(begins[i]), int(ends[i])
