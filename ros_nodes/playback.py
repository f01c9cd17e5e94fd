"""A bag as a robot's sensors, and a policy's set-points compared with the demonstrated ones. No ROS here.

bag   sensors, instruction  -> due(until)          played in the order and at the pace of reception
      commands              -> set-point in force  <- compare(at, action) of the policy
"""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from policy.data.bags import messages
from policy.data.definitions import decode
from policy.data.raw import Raw
from policy.data.storage_order import SET_BACK
from policy.errors import InputError
from policy.robot.contract import Contract
from policy.robot.message_types import STRING
from policy.robot.streams import Streams


class Playback:
    """One bag that is played once; times are the bag's own [ns]. `InputError` for a bag that cannot be played."""

    def __init__(self, bag: Path, contract: Contract) -> None:
        self.bag, self.contract = bag, contract
        played = contract.observed | {contract.instruction: STRING}
        self.played = {topic.lstrip("/"): kind for topic, kind in played.items()}  # topic -> type
        self.dropped: Counter[str] = Counter()  # reason -> messages of the bag that could not be used
        self.points = 0  # set-points compared
        self._errors: dict[str, list[float]] = defaultdict(list)  # action -> |policy - demonstration|
        self._setpoints = Streams(contract)
        self.begin, self.end = self._scan()
        ranges = contract.limits.high - contract.limits.low
        self._ranges = dict(zip(contract.spec.action, ranges.tolist(), strict=True))
        self._messages = messages(bag, self.played, Counter())
        self._next: Raw | None = next(self._messages, None)

    def due(self, until: int) -> list[Raw]:
        """The next messages, up to a time."""
        found = []
        while self._next is not None and self._next.stamp <= until:
            found.append(self._next)
            self._next = next(self._messages, None)
        return found

    def compare(self, at: int, action: np.ndarray) -> None:
        """Compare an action (A,) of the policy with the one that was demonstrated for that time."""
        if at > self.end or (demonstrated := self._setpoints.setpoint_at(at)) is None:
            return  # nothing was demonstrated for that time
        self.points += 1
        for name, error in zip(self.contract.spec.action, np.abs(action - demonstrated).tolist(), strict=True):
            self._errors[name].append(error)

    def report(self) -> dict[str, Any]:
        """Mean and largest difference of each action, in units of the policy and as a share of its range."""
        joints = {
            name: {"mean": float(np.mean(e)), "max": max(e), "share_of_range": float(np.mean(e) / self._ranges[name])}
            for name, e in self._errors.items()
        }
        share = float(np.mean([j["share_of_range"] for j in joints.values()])) if joints else None
        return {
            "bag": str(self.bag),
            "points": self.points,
            "mean_share_of_range": share,
            "joints": joints,
            "dropped": dict(self.dropped),
        }

    def _scan(self) -> tuple[int, int]:
        """Gather the demonstrated set-points; returns the times of the first and the last message."""
        commanded = {t.lstrip("/"): kind for t, kind in self.contract.commanded.items()}
        seen: set[str] = set()
        first = last = 0
        for raw in messages(self.bag, commanded | self.played, self.dropped):
            topic = raw.topic.lstrip("/")
            seen.add(topic)
            if raw.stamp < last - SET_BACK:
                raise InputError(
                    f"{self.bag}: the clock was set back by {(last - raw.stamp) * 1e-9:.1f} s within it; "
                    "give a bag of one run of the clock"
                )
            first, last = first or raw.stamp, max(last, raw.stamp)
            if topic in commanded:
                try:
                    message: Any = decode(raw)
                except Exception as error:  # rosbags raises whatever the damaged bytes lead to
                    self.dropped[f"{topic}: a message that does not decode ({type(error).__name__})"] += 1
                    continue
                self._setpoints.push(topic, message, raw.stamp)
        self.dropped += self._setpoints.dropped
        missing = [t for t in (commanded | self.played) if t not in seen]
        if missing:
            raise InputError(
                f"{self.bag} has no message on {', '.join(missing)}, which the contract asks "
                "for; give a bag of this robot, or its contract"
            )
        return first, last
