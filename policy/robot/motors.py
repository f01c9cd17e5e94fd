"""What the joints do and exert, of the same messages as the state: for bags whose contact must be estimated.

    joint messages   |  |  |  |  |  |      position and velocity: the newest at or before the frame
    frames           ^              ^      effort: the mean over the step that ends there
                      '--- mean ---'

Over a step the mean effort is what changed the arm's momentum; a single sample is mostly noise.
"""

from dataclasses import replace
from typing import Literal

import numpy as np

from policy.robot.contract import Contract
from policy.robot.sources import Source
from policy.robot.stream import JOINTS_KEPT, Stream

FIELDS: tuple[Literal["position", "velocity", "effort"], ...] = ("position", "velocity", "effort")


class Motors:
    """The arms' joints without their grippers, in the contract's order: J of them, in the robot's own units."""

    def __init__(self, contract: Contract) -> None:
        grippers = {name for c in contract.action if c.gripper for name in c.spec_names}
        self._step = contract.spec.dt_ns
        self._groups = [
            [
                Stream(f"{field} of the motors ({group.topic})", replace(group, field=field), JOINTS_KEPT)
                for field in FIELDS
            ]
            for source in contract.state
            if (group := _without(source, grippers)).joints
        ]
        turns = {
            (s.topic, j): t / abs(k)
            for s in contract.state
            for j, t, k in zip(s.joints, s.turns, s.scales, strict=False)
        }
        for position, *_ in self._groups:
            assert isinstance(position.source, Source)
            position.turns = np.array([turns.get((position.source.topic, j), 0.0) for j in position.source.joints])
        self.streams = [stream for group in self._groups for stream in group]  # what Streams fills

    def at(self, stamp: int) -> np.ndarray:
        """Position, velocity and effort (J, 3) at a frame's stamp [ns]; NaN where the driver gives none."""
        return np.concatenate([self._group_at(group, stamp) for group in self._groups] or [np.empty((0, 3))])

    def _group_at(self, group: list[Stream], stamp: int) -> np.ndarray:
        found = [stream.fresh(stamp) for stream in group]
        position, velocity, effort = group
        p, v, e = found
        if p is None or v is None or e is None:
            assert isinstance(position.source, Source)
            return np.full((len(position.source.joints), 3), np.nan)
        first = e
        while first > 0 and effort.stamps[first - 1] > stamp - self._step:
            first -= 1
        mean = np.mean([effort.values[i] for i in range(first, e + 1)], axis=0)
        return np.stack([position.values[p], velocity.values[v], mean], 1)


def _without(source: Source, grippers: set[str]) -> Source:
    """The joints of a group that are no gripper's, in the robot's own units; none where it reads no joints."""
    apart = len(source.spec_names) == len(source.joints)  # each joint is a value of its own
    names = source.spec_names if apart else source.spec_names * len(source.joints)
    kept = [i for i, name in enumerate(names[: len(source.joints)]) if name not in grippers]
    return replace(
        source,
        joints=tuple(source.joints[i] for i in kept),
        names=(),
        reduce="none",
        scale=1.0,
        offset=0.0,
        continuous=False,
    )
