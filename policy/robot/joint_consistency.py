"""Joint states that contradict each other: one joint twice in a message, or from two publishers with two values.

publisher a   0.94      0.94      0.94        several publishers of one topic are normal where their joints
publisher b        0.19      0.19             differ; the same joint at 0.94 and at 0.19 is no robot
"""

import math
from collections import deque
from typing import Any

import numpy as np

from policy.robot.contract import Contract

NOISE = 0.02  # rad, m: two encoders of one joint may differ by so much
FASTER = 3.0  # times the velocity limit: no joint moves so fast
TIMES = 3  # jumps within `WINDOW` until values are contradictory: one alone is a reset of a simulation
WINDOW = 1_000_000_000  # ns


class JointConsistency:
    """Looks at joint states beside those who use them; `publishers` is how many there are for each topic."""

    def __init__(self, contract: Contract) -> None:
        fastest = {n: float(v) for n, v in zip(contract.spec.action, contract.limits.velocity, strict=True)}
        self._joints: dict[str, dict[str, float]] = {}  # topic -> joint -> its velocity limit, in units of the policy
        self._turns: dict[tuple[str, str], float] = {}  # topic and joint -> its turn, 0 where it does not wrap
        for source in (s for s in contract.state if s.joints):
            topic, values = source.topic.lstrip("/"), zip(source.spec_names, source.scales, source.turns, strict=False)
            for joint, (name, scale, turn) in zip(source.joints, values, strict=False):
                self._joints.setdefault(topic, {})[joint] = fastest.get(name, np.inf) / float(abs(scale))
                self._turns[topic, joint] = float(turn / abs(scale))
        self.publishers: dict[str, int] = dict.fromkeys(self._joints, 1)
        self._last: dict[tuple[str, str], tuple[float, int]] = {}  # value and steady ns
        self._jumps: deque[tuple[int, str]] = deque(maxlen=TIMES)  # steady ns, and between which values

    def add(self, topic: str, message: Any, steady: int) -> None:
        """Take a JointState."""
        topic = topic.lstrip("/")
        joints = self._joints.get(topic)
        if joints is None:
            return
        repeated = len(set(message.name)) != len(message.name)
        if not repeated and self.publishers[topic] <= 1:
            return
        named = zip(message.name, message.position, strict=False)
        # what is no number contradicts nothing: the decoder reports it
        values = [(joint, float(value)) for joint, value in named if joint in joints and math.isfinite(value)]
        if repeated:
            self._twice(topic, values, steady)
        if self.publishers[topic] > 1:
            for joint, value in values:
                self._compare(topic, joint, value, joints[joint], steady)

    def fault(self, steady: int) -> str:
        """What contradicts, "" where nothing has for a while."""
        recent = [what for at, what in self._jumps if steady - at < WINDOW]
        return f"contradictory joint states: {recent[-1]}" if len(recent) >= TIMES else ""

    def _twice(self, topic: str, values: list[tuple[str, float]], steady: int) -> None:
        seen: dict[str, float] = {}
        for joint, value in values:
            if self._apart(topic, joint, seen.setdefault(joint, value), value) > NOISE:
                what = f"{topic} has {joint} twice in a message, {seen[joint]:.2f} and {value:.2f}"
                self._jumps.extend([(steady, what)] * TIMES)

    def _compare(self, topic: str, joint: str, value: float, limit: float, steady: int) -> None:
        before, at = self._last.get((topic, joint), (value, steady))
        self._last[topic, joint] = value, steady
        if self._apart(topic, joint, value, before) > NOISE + FASTER * limit * (steady - at) * 1e-9:
            what = f"{joint} on {topic} is {before:.2f} and {value:.2f}, from {self.publishers[topic]} publishers"
            self._jumps.append((steady, what))

    def _apart(self, topic: str, joint: str, a: float, b: float) -> float:
        """The distance of two positions, of a joint that wraps the shorter way round."""
        gap, turn = a - b, self._turns[topic, joint]
        return abs(math.remainder(gap, turn) if turn and math.isfinite(gap) else gap)
