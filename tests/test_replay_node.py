"""Replay over DDS: a policy sees a bag as it would a robot, its set-points are compared, and nothing can move."""

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.demo_bag import CONTRACT, STEP, action, demonstration, write
from tests.ros_tiny import LONG, Robot, bench, until  # skips the file where there is no ROS
from tests.tiny import write_model

# isort: split
from diagnostic_msgs.msg import DiagnosticStatus
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from ros_nodes import bridge
from ros_nodes.executor_thread import in_executor
from ros_nodes.policy_node import PolicyNode
from ros_nodes.safety_node import SafetyNode

RAMP = 0.02  # rad a step, at full brightness; a picture of noise is half as bright


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("bags") / "episode", demonstration(100))  # 5 s


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_model(folder, ramp=RAMP)
    return folder


def test_a_policy_is_compared_over_dds(bag: Path, model: Path, tmp_path: Path) -> None:
    """The tiny policy moves the first joint where the demonstration does not: the report has by how much."""
    with bench() as stage:
        stage.node(PolicyNode, model=str(model), autostart=True, use_sim_time=True, sensor_timeout=5.0)
        process = stage.start("replay_node", bag=bag, report=tmp_path / "report.json")
        output, _ = process.communicate(timeout=4 * LONG)
        assert process.returncode == 0, output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["points"] > 20 and "set-points compared" in output
    moved = {name: joint["mean"] for name, joint in report["joints"].items()}
    # the policy wants the state and a ramp, the demonstration the next state, 0.001 away
    assert RAMP / 4 < moved["panda_joint1"] < RAMP * 16
    assert all(moved[f"panda_joint{i}"] < 0.05 for i in range(2, 8))


def test_it_refuses_where_a_robot_or_a_safety_node_is_live(bag: Path) -> None:
    for kind, words in ((Robot, "another node publishes"), (SafetyNode, "another node subscribes to")):
        with bench() as stage:
            if kind is Robot:
                stage.add(Robot(stage.context))
            else:
                stage.node(SafetyNode)
            received = stage.ears.listen("joint_states", JointState)
            process = stage.start("replay_node", bag=bag)
            output, _ = process.communicate(timeout=4 * LONG)
            assert process.returncode == 2 and words in output, output
            if kind is SafetyNode:
                assert not received  # not one message was played


def test_a_policy_that_commands_nothing_is_reported(bag: Path, model: Path, tmp_path: Path) -> None:
    with bench() as stage:
        stage.node(PolicyNode, model=str(model), autostart=True)  # not on the bag's time
        process = stage.start("replay_node", bag=bag, report=tmp_path / "report.json")
        output, _ = process.communicate(timeout=4 * LONG)
        assert process.returncode == 2 and "the policy commanded nothing" in output
    assert not (tmp_path / "report.json").exists()


def test_the_bag_is_not_played_before_the_policy_obeys(bag: Path, model: Path) -> None:
    """It subscribes when it is configured, and refuses what it was told before it was activated."""
    with bench() as stage:
        clock = stage.ears.listen("/clock", Clock)
        statuses = stage.ears.listen("replay_node/status", DiagnosticStatus, bridge.LATCHED)
        node = stage.node(PolicyNode, model=str(model), use_sim_time=True, sensor_timeout=5.0)
        in_executor(node, node.trigger_configure)
        process = stage.start("replay_node", bag=bag)
        until(lambda: clock or [s for s in statuses if "to be active: not active" in s.message], "it waits or plays")
        assert not clock
        in_executor(node, node.trigger_activate)
        output, _ = process.communicate(timeout=4 * LONG)
        assert process.returncode == 0, output


def test_a_missing_bag_is_refused(tmp_path: Path) -> None:
    with bench() as stage:
        process = stage.start("replay_node", bag=tmp_path / "nothing")
        output, _ = process.communicate(timeout=4 * LONG)
        assert process.returncode == 2 and "no bag at" in output


@pytest.mark.parametrize(
    "report, why", [("nothing/report.json", "no folder for the report"), (".", "is a folder, expected a file to write")]
)
def test_a_report_that_cannot_be_written_is_refused_before_anything_is_played(
    report: str, why: str, bag: Path, tmp_path: Path
) -> None:
    with bench() as stage:
        process = stage.start("replay_node", bag=bag, report=tmp_path / report)
        output, _ = process.communicate(timeout=4 * LONG)
        assert process.returncode == 2 and why in output


def test_another_clock_is_refused(bag: Path) -> None:
    with bench() as stage:
        stage.ears.create_publisher(Clock, "/clock", 10)
        process = stage.start("replay_node", bag=bag)
        output, _ = process.communicate(timeout=4 * LONG)
        assert process.returncode == 2 and "/clock is published by" in output, output


def test_launched_it_ends_with_the_bag() -> None:
    """`ros2 launch` is not on PyPI: tried by hand with launch 3.4.3; here, that the file asks for it."""
    tree = ElementTree.parse(Path(__file__).parent.parent / "launch" / "replay.launch.xml")
    (node,) = [n for n in tree.iter("node") if n.attrib["exec"] == "replay_node"]
    assert node.attrib["on_exit"] == "shutdown"


def test_a_chunk_that_does_not_fit_is_reported_and_the_next_one_is_compared(bag: Path) -> None:
    with bench() as stage:
        for topic, kind in CONTRACT.observed.items():
            stage.ears.listen(topic, bridge.message_class(kind))
        stage.ears.listen("instruction", String, bridge.LATCHED)
        clock = stage.ears.listen("/clock", Clock, 50)
        statuses = stage.ears.listen("replay_node/status", DiagnosticStatus, bridge.LATCHED)
        chunks = stage.ears.create_publisher(JointTrajectory, bridge.ACTION_CHUNK, bridge.COMMAND)
        process = stage.start("replay_node", bag=bag)
        until(lambda: clock, "the bag is played")

        def chunk(names: Sequence[str]) -> JointTrajectory:
            now = bridge.nanoseconds(clock[-1].clock)
            return bridge.trajectory(names, now, np.array([STEP]), action(5)[None, : len(names)])

        unfit = until(
            lambda: chunks.publish(chunk(["elbow"])) or [s for s in statuses if "elbow" in s.message], "it is reported"
        )
        assert unfit[-1].level == DiagnosticStatus.WARN
        chunks.publish(chunk(CONTRACT.spec.action))
        output, _ = process.communicate(timeout=4 * LONG)
        assert process.returncode == 0 and " 1 set-points compared" in output, output
