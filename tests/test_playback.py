"""A bag as a robot's sensors: what is played, what a policy's set-points are compared with."""

from pathlib import Path

import numpy as np
import pytest

from policy.data.bag_writer import channels
from policy.data.raw import TYPES
from policy.errors import InputError
from policy.robot.streams import Streams
from ros_nodes.playback import Playback
from tests.demo_bag import CONTRACT, START, STEP, action, demonstration, write

FRAMES = 60


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("bags") / "episode", demonstration(FRAMES))


def test_it_gives_the_sensors_in_time_and_only_them(bag: Path) -> None:
    playback = Playback(bag, CONTRACT)
    assert (playback.begin, playback.end) == (START, START + (FRAMES - 1) * STEP)
    first = playback.due(START + STEP // 2)
    topics = {raw.topic.lstrip("/") for raw in first}
    assert topics == {*CONTRACT.observed, "instruction"}  # no command: nothing would move, even if received
    rest = playback.due(playback.end)
    assert playback.due(playback.end) == []
    streams = Streams(CONTRACT)
    for raw in first + rest:
        if raw.topic.lstrip("/") in CONTRACT.observed:
            streams.push(raw.topic, TYPES.deserialize_cdr(raw.data, raw.type), raw.stamp)
    streams.flush()
    frames = []
    while (frame := streams.frame()) is not None:
        frames.append(frame.stamp)
    assert frames == [START + t * STEP for t in range(FRAMES)]


def test_actions_are_compared_with_the_set_point_in_force(bag: Path) -> None:
    playback = Playback(bag, CONTRACT)
    for t in range(10, 20):
        playback.compare(START + (t + 1) * STEP, action(t) + 0.01)  # action(t) is in force then
    playback.compare(playback.end + 1, action(0))
    playback.compare(START - 10 * STEP, action(0))
    report = playback.report()
    assert report["points"] == 10
    assert report["joints"]["panda_joint1"]["mean"] == pytest.approx(0.01, abs=1e-6)
    assert report["joints"]["gripper"]["max"] == pytest.approx(0.01, abs=1e-6)
    assert report["joints"]["gripper"]["share_of_range"] == pytest.approx(0.125, abs=1e-4)


def test_commands_that_cannot_be_compared_are_counted(tmp_path: Path) -> None:
    items = list(demonstration(20))
    command = next(i for i in items if i.topic == "arm_controller/joint_trajectory")
    command.message.points[0].positions[0] = np.nan
    report = Playback(write(tmp_path / "a", items), CONTRACT).report()
    ((reason, count),) = report["dropped"].items()
    assert count == 1 and "not a finite number" in reason


def test_a_bag_of_another_robot_is_refused(tmp_path: Path) -> None:
    items = [i for i in demonstration(5) if i.topic != "joint_states"]
    path = write(tmp_path / "a", items, [c for c in channels(CONTRACT) if c.topic != "joint_states"])
    with pytest.raises(InputError, match="no message on joint_states"):
        Playback(path, CONTRACT)
