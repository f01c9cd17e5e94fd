"""What the policy node reports of its control loop, its sensors and its safety node."""

from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus

from policy.robot.live_observations import LiveObservations
from policy.running.loop import InferenceLoop
from ros_nodes import bridge


class Safety:
    """What the safety node reports of itself, and whether it is still there.

    `ended` is called with a reason and its source time [ns, of the wall clock] when a stop, or the node's restart, has
    ended the instruction, `given_back` when a person who was in control is so no more.
    """

    def __init__(self, ended: Callable[[str, int], None], given_back: Callable[[], None]) -> None:
        self._ended, self._given_back = ended, given_back
        self._stopped, self._started, self._gone = "", "", False
        self._corrected = False

    def take(self, message: DiagnosticStatus, info: dict[str, Any]) -> None:
        """A status of it, and what rclpy knows of the message."""
        source = bridge.source_time(info)
        values = {entry.key: entry.value for entry in message.values}
        before = self._stopped, self._started
        self._stopped, self._started = values.get("stopped", ""), values.get("started", "")
        corrected, self._corrected = self._corrected, values.get("in control") == "a person"
        if corrected and not self._corrected:
            self._given_back()
        restarted = before[1] not in ("", self._started)
        if self._stopped and (restarted or self._stopped != before[0]):
            self._ended(self.fault(), source)
        elif restarted:
            self._ended("safety_node was started again; give the instruction again", source)

    def alive(self, change: Any) -> None:
        """An event of the liveliness of its status."""
        self._gone = change.alive_count == 0

    def fault(self) -> str:
        """Why it lets nothing pass, "" if that is not known."""
        if self._gone:
            return "safety_node is gone: nothing reaches the arm"
        return f"safety_node has {self._stopped}; reset it and give the instruction again" if self._stopped else ""


def describe(loop: InferenceLoop, refused: str, mismatch: str) -> tuple[str, str, dict[str, object]]:
    """Level, text and values of the status."""
    values: dict[str, object] = {
        "instruction": loop.text,
        "serves": loop.served,
        "following": "; ".join(loop.following),
        "completed": "; ".join(loop.completed),
        "switches": loop.switches,
        "unfinished": loop.tracker.unfinished,
        "holding": loop.reason,
        "schedule": loop.schedule,
        **_execution(loop),
    }
    level = "warn" if refused or mismatch or (loop.reason and not loop.idle) else "ok"
    return level, "; ".join(filter(None, (refused or doing(loop), mismatch))), values


def inference(loop: InferenceLoop, figures: dict[str, object]) -> DiagnosticStatus:
    """A diagnostic with counts and latencies."""
    level = "error" if loop.reason and not loop.idle else "ok"
    return bridge.status(
        level,
        "policy_node: inference",
        doing(loop),
        figures
        | {
            "inferences": loop.inferences,
            "failures": loop.failures,
            "outdated": loop.outdated,
            "inference p50 / p99 ms": bridge.percentiles(loop.inference_s),
            "frame to chunk less inference p50 / p99 ms": bridge.percentiles(loop.waiting_s),
            "instruction to chunk p50 / p99 ms": bridge.percentiles(loop.reaction_s),
        },
    )


def inactive(failure: str, model: str) -> DiagnosticStatus:
    """A diagnostic of a node that does not infer, and why."""
    level, text = ("error", failure) if failure else ("warn", "not active")
    return bridge.status(level, "policy_node: inference", text, {"model": model})


class Sensors:
    """What arrives, and how much of it; times are steady, in ns."""

    def __init__(self, steady: int) -> None:
        self._counts = 0, steady  # messages, and when they were counted

    def status(self, observations: LiveObservations, steady: int, mismatch: str) -> DiagnosticStatus:
        """A diagnostic with what arrived, what was dropped and why."""
        count = sum(observations.received.values())
        rate = (count - self._counts[0]) / ((steady - self._counts[1]) * 1e-9)
        self._counts = count, steady
        text = "; ".join(filter(None, (observations.fault(steady), observations.clocks.fault(), mismatch)))
        return bridge.status(
            "warn" if text else "ok",
            "policy_node: sensors",
            text or "all sensors publish",
            {
                "messages per s": f"{rate:.1f}",
                "skew p50 / p99 ms": bridge.percentiles(observations.skew),
                **{f"received, {topic}": count for topic, count in observations.received.items()},
                **{f"dropped, {reason}": count for reason, count in observations.dropped.items()},
            },
        )


def doing(loop: InferenceLoop) -> str:
    """Holding and why, done, or commanding."""
    if loop.reason:
        return f"holding: {loop.reason}"
    return f"done: {loop.text}" if loop.tracker.finished else f"commanding: {loop.served}"


def _execution(loop: InferenceLoop) -> dict[str, object]:
    """What a switching policy estimated last; of another one it is unknown."""
    if loop.estimate is None:
        unknown = "not estimated" if loop.session.spec.switches else "unknown"
        return dict.fromkeys(("mode", "contact", "done"), unknown)
    return {
        "mode": loop.estimate.mode,
        "contact": "yes" if loop.tracker.in_contact else "no",
        "done": "yes" if loop.tracker.finished else "no",
    }
