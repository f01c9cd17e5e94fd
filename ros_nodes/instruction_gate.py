"""Which instructions are obeyed: the newest by source time, and none from before a stop, reset or activation.

published  A      B     (latched)           C
events         ^reset       ^activated
obeyed     A                                C        B is older than the activation: give it again
"""

from time import time_ns

from policy.robot.instructions import stops


class InstructionGate:
    """Remembers source times [ns, of the wall clock]; with `obey_latched` only the order counts."""

    def __init__(self, obey_latched: bool) -> None:
        self._obey_latched = obey_latched
        self._newest, self._text = 0, ""
        self._closed, self._event = 0, ""  # until when, and what happened then

    def refuse(self, text: str, source: int) -> str:
        """Why an instruction with this source time is not obeyed, "" if it is; to stop is obeyed always."""
        self._not_to_come()
        if stops(text):
            self._newest, self._text = max(source, self._newest), text
            return ""
        if source < self._newest:
            return f"an instruction older than the newest is not obeyed: {text[:80]!r}"
        self._newest, self._text = source, text
        if source <= self._closed and not self._obey_latched:
            return f"an instruction from before {self._event} is not obeyed: {text[:80]!r}; give it again"
        return ""

    def close(self, event: str, now: int) -> str:
        """Something happened after which earlier instructions are not obeyed; returns the one that still is."""
        self._not_to_come()
        if now >= self._closed:
            self._closed, self._event = now, event
        return self._text if self._obey_latched else ""

    def _not_to_come(self) -> None:
        """What was remembered is past, also where the clock was set back since."""
        now = time_ns()
        self._newest, self._closed = min(self._newest, now), min(self._closed, now)

    def newer(self, source: int) -> bool:
        """Whether an instruction has come from after this source time."""
        return self._newest > source

    def repeat(self) -> str:
        """Why the newest instruction is not obeyed, "" if it is or there was none."""
        return self.refuse(self._text, self._newest) if self._text else ""
