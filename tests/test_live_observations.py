from typing import Any

import numpy as np
import pytest
import yaml

from policy.robot.contract import FOLDER, build, load
from policy.robot.live_observations import LiveObservations
from policy.robot.streams import Streams
from policy.spec import Frame
from tests import demo_bag
from tests.demo_bag import demonstration

CONTRACT = load("tabletop")
MS = 10**6


def stamp_of(message: Any) -> int:
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def observed(steps: int = 30) -> list[tuple[str, Any, int]]:
    """Messages of a demonstration that a live node subscribes to, by their time."""
    return [(t, m, at) for t, m, at in demonstration(steps) if t.lstrip("/") in CONTRACT.observed]


def test_frames_are_those_of_the_bag_without_its_waiting() -> None:
    bag, live, intake = [], [], LiveObservations(CONTRACT, 1.0, 0)
    streams = Streams(CONTRACT)
    for topic, message, at in observed():
        streams.push(topic, message, at)
        while (frame := streams.frame()) is not None:
            bag.append(frame)
        live += intake.push(topic, message, at, at)
    assert len(live) >= len(bag) > 10
    for a, b in zip(live, bag, strict=False):
        assert a.stamp == b.stamp and all((a.images[c] == b.images[c]).all() for c in a.images)
        np.testing.assert_array_equal(a.state, b.state)
    assert intake.fault(0) == "" and not intake.dropped and max(intake.skew) == 0


def test_what_is_late_or_of_the_future_is_dropped_and_said() -> None:
    intake = LiveObservations(CONTRACT, 0.15, 0)
    messages = observed()
    last = messages[-1][2]
    for topic, message, at in messages[:-1]:
        intake.push(topic, message, at, 0)
    topic, message, at = next(m for m in reversed(messages) if "image" in m[0])
    assert intake.push(topic, message, at + 500 * MS, 0) == []
    assert "late by 0.50 s" in intake.fault(200 * MS) or "silent" in intake.fault(200 * MS)
    assert intake.push(topic, message, at - 300 * MS, 0) == []
    assert {r.split(": ")[1].split(" by")[0] for r in intake.dropped} == {"late", "stamped in the future"}
    assert last > 0


def test_a_silent_topic_is_named_and_forgiven() -> None:
    intake, messages = LiveObservations(CONTRACT, 0.15, 0), observed()
    wrist = CONTRACT.cameras["wrist"].topic
    start = messages[0][2]
    for topic, message, at in messages:
        if topic.lstrip("/") != wrist:
            intake.push(topic, message, at, at - start)
    end = messages[-1][2] - start
    assert intake.fault(end) == f"{wrist} is silent"
    for topic, message, at in messages:
        if topic.lstrip("/") == wrist:
            intake.push(topic, message, at, end)
    assert "silent" not in intake.fault(end)


def test_without_a_clock_nothing_is_taken() -> None:
    intake = LiveObservations(CONTRACT, 0.15, 0)
    topic, message, _ = observed()[0]
    intake.push(topic, message, 0, 0)
    assert "use_sim_time" in intake.fault(10**9) or "silent" in intake.fault(10**9)
    assert any("no clock" in reason for reason in intake.dropped)


@pytest.mark.parametrize(("back", "kept"), [(2 * MS, True), (5000 * MS, False)])
def test_what_nobody_measures_stays_where_it_was_commanded_when_the_clock_steps_back_a_little(
    back: int, kept: bool
) -> None:
    """A held position is not commanded again; a simulation, whose clock goes back further, begins anew."""
    raw = yaml.safe_load((FOLDER / "tabletop.yaml").read_text())
    raw["state"] = raw["state"][:1]
    raw["action"][1] |= {"topic": "gripper/commands", "type": "std_msgs/msg/Float64MultiArray", "initial": [0.08]}
    raw["action"][1].pop("scale")
    intake = LiveObservations(build(raw, "unmeasured"), 1.0, 0)
    messages = observed(40)
    half, begin = messages[len(messages) // 2][2], messages[0][2]
    layout = demo_bag.make("MultiArrayLayout", [], 0)
    command = demo_bag.make("Float64MultiArray", layout, np.array([0.0]))
    intake.push("gripper/commands", command, begin, 0)
    frames: list[Frame] = []
    for topic, message, at in messages:
        behind = back if at > half else 0
        if behind:
            message.header.stamp = demo_bag.header(stamp_of(message) - behind).stamp
        seen = intake.push(topic, message, at - behind, at)
        frames += seen if behind else []
    assert len(frames) > 5 and {float(frame.state[-1]) for frame in frames} == {np.float32(0.0 if kept else 0.08)}
