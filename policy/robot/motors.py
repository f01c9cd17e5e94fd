"""What the joints do and exert, of the same messages as the state: for bags whose contact must be estimated.

    joint messages   |  |  |  |  |  |      position and velocity: the newest at or before the frame
    frames           ^              ^      effort: the mean over the step that ends there
                      '--- mean ---'

Over a step the mean effort is what changed the arm's momentum; a single sample of it says little.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from policy.robot.contract import Contract, Joints
from policy.robot.decode import Unusable, joint_decoder
from policy.robot.streams import KEEP, Stream

FIELDS: tuple[Literal["position", "velocity", "effort"], ...] = ("position", "velocity", "effort")


class Motors:
    """The arms' joints without their grippers, in the contract's order: J of them, in the robot's own units."""

    def __init__(self, contract: Contract) -> None:
        held = {name for c in contract.action if c.gripper for name in c.names or c.joints}
        self._step = contract.spec.dt_ns
        groups = [_without(source, held) for source in contract.state]
        self._streams = [
            (Stream(f"motors ({s.topic})", s, _decoder(s), KEEP), len(s.joints)) for s in groups if s.joints
        ]

    def push(self, topic: str, message: Any, receive_ns: int) -> None:
        """Take a joint message of this topic; one that does not tell all of it is passed over."""
        for stream, _ in self._streams:
            if stream.source.topic.lstrip("/") != topic.lstrip("/"):
                continue
            at = stream.stamp(message, receive_ns)
            try:
                value = stream.decode(message)
            except Unusable:
                continue  # the state's own stream counts what is wrong with it
            if value is not None and at >= stream.last:
                stream.last = at
                stream.stamps.append(at)
                stream.values.append(value)

    def at(self, stamp: int) -> np.ndarray:
        """Position, velocity and effort (J, 3) at a frame's stamp [ns]; NaN where the driver tells none."""
        return np.concatenate([self._of(*one, stamp) for one in self._streams] or [np.empty((0, 3))])

    def clear(self) -> None:
        """Forget all messages, as after a jump of the clock."""
        for stream, _ in self._streams:
            stream.clear()

    def _of(self, stream: Stream, joints: int, stamp: int) -> np.ndarray:
        newest = stream.newest(stamp)
        if newest is None or stamp - stream.stamps[newest] > stream.max_age:
            return np.full((joints, 3), np.nan)
        first = newest
        while first > 0 and stream.stamps[first - 1] > stamp - self._step:
            first -= 1
        value = stream.values[newest].copy()
        value[:, 2] = np.mean([stream.values[i][:, 2] for i in range(first, newest + 1)], axis=0)
        return value


def _without(source: Joints, held: set[str]) -> Joints:
    """The joints of a group that are no gripper's."""
    named = (
        zip(source.names, source.joints, strict=True)
        if len(source.names) == len(source.joints)
        else ((name, joint) for name in source.names or ("",) for joint in source.joints)
    )
    return replace(
        source,
        joints=tuple(joint for name, joint in named if (name or joint) not in held),
        names=(),
        reduce="none",
        scale=1.0,
        offset=0.0,
    )


def _decoder(source: Joints) -> Callable[[Any], np.ndarray | None]:
    """Message -> (J, 3)."""
    each = [joint_decoder(replace(source, field=field)) for field in FIELDS]

    def decode(message: Any) -> np.ndarray | None:
        values = [value for one in each if (value := one(message)) is not None]
        return np.stack(values, 1) if values else None

    return decode
