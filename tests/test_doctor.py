"""`python -m ros_nodes.doctor` against a robot over real DDS: right, and with each thing that can be wrong."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from policy.data.findings import Finding, errors
from policy.robot.contract import Contract, load
from policy.robot.message_types import FOLLOW
from tests.ros_tiny import ROOT, Bench, Robot, bench  # skips the file where there is no ROS

# isort: split
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from ros_nodes import bridge, doctor
from ros_nodes.doctor_listener import Arrivals

SECONDS = 1.5
FRONT, JOINTS, ARM = "camera/front/image_raw", "joint_states", "arm_controller/joint_trajectory"
TABLE = load("tabletop")
SETTINGS = {
    "joints": list(TABLE.action[0].joints),
    "command_interfaces": ["position"],
    "interpolation_method": "splines",
    "interpolate_from_desired_state": True,
    "constraints.panda_joint1.trajectory": 0.0,
}


@pytest.fixture
def stage() -> Iterator[Bench]:
    with bench() as made:
        made.robot = made.add(Robot(made.context))
        yield made


def found(stage: Bench, contract: Contract = TABLE, **options: Any) -> dict[str, Finding]:
    """What is wrong, by what it is called."""
    return {f.what: f for f in doctor.examine(contract, SECONDS, context=stage.context, **options)}


def controller(stage: Bench, settings: dict[str, Any], topic: str = ARM, qos: Any = 10) -> Node:
    """A joint_trajectory_controller as the graph shows it: a subscription and parameters."""
    node = Node(
        topic.split("/")[0],
        context=stage.context,
        allow_undeclared_parameters=True,
        automatically_declare_parameters_from_overrides=True,
        parameter_overrides=[Parameter(name, value=value) for name, value in settings.items()],
    )
    node.create_subscription(JointTrajectory, topic, lambda m: None, qos)
    return stage.add(node)  # type: ignore[no-any-return]


def test_a_robot_that_is_right(stage: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    controller(stage, SETTINGS)
    what = found(stage)
    assert not errors(list(what.values())), what
    assert not [w for w in what if "arm_controller" in w]
    printed = capsys.readouterr().out
    assert "/camera/front/image_raw  sensor_msgs/msg/Image       /robot  " in printed
    assert "/arm_controller: " in printed and "interpolate_from_desired_state True" in printed


def test_a_topic_that_nobody_publishes(stage: Bench) -> None:
    contract = load("so101")
    what = found(stage, contract)
    finding = what["nobody publishes /follower/joint_states"]
    assert finding.severity == "error" and "there is /joint_states" in finding.figures and "contract" in finding.do
    assert what["nobody listens on /follower/arm_trajectory_controller/joint_trajectory"].severity == "error"


def test_a_topic_of_another_type(stage: Bench) -> None:
    stage.ears.create_publisher(String, "front", 10)
    front = replace(TABLE.cameras["front"], topic="front")
    contract = replace(TABLE, cameras=TABLE.cameras | {"front": front})
    finding = found(stage, contract)["/front has another type"]
    assert finding.severity == "error" and "std_msgs/msg/String from /ears" in finding.figures


def test_a_publisher_that_is_silent(stage: Bench) -> None:
    stage.robot.mute.add(FRONT)
    assert found(stage)[f"nothing comes on /{FRONT}"].severity == "error"


@pytest.mark.parametrize(
    ("topic", "mangle", "words"),
    [
        (
            FRONT,
            lambda m: bridge.image(np.zeros((48, 64, 3), np.uint8), bridge.nanoseconds(m.header.stamp), ""),
            "64x48",
        ),
        (FRONT, lambda m: _set(m, encoding="mono8"), "mono8"),
        (JOINTS, lambda m: _set(m, name=[f"left_{n}" for n in m.name]), "left_panda_joint1"),
        (JOINTS, lambda m: _set(m, name=["x", *m.name[1:]]), "no joint panda_joint1"),
        (JOINTS, lambda m: _later(m, -5), "late"),
        (JOINTS, lambda m: _later(m, 5), "future"),
    ],
)
def test_messages_that_are_not_usable(stage: Bench, topic: str, mangle: Callable[[Any], Any], words: str) -> None:
    stage.robot.mangle[topic] = mangle
    wrong = errors(list(found(stage).values()))
    assert any(words in f"{finding}" for finding in wrong), wrong


def _set(message: Any, **fields: Any) -> Any:
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def _later(message: Any, seconds: float) -> Any:
    at = bridge.nanoseconds(message.header.stamp) + round(seconds * 1e9)
    message.header.stamp = bridge.stamp(at)
    return message


def test_clocks_that_differ_a_little(stage: Bench) -> None:
    stage.robot.lag = 0.09
    finding = found(stage)["header stamps are on another clock"]
    assert finding.severity == "warning" and "behind our clock" in finding.figures and "chrony" in finding.do


@pytest.mark.parametrize(("rate", "overloaded"), [(7.0, False), (20.0, True)])
def test_what_is_late_where_rates_are_low_may_be_this_computer(rate: float, overloaded: bool) -> None:
    """A robot of 14 Hz, and policies of less and of more."""
    with bench() as stage:
        stage.robot = stage.add(Robot(stage.context, rate=14.0))
        stage.robot.lag = 0.09
        finding = found(stage, replace(TABLE, rate=rate))["header stamps are on another clock"]
    assert "chrony" in finding.do and ("this computer is overloaded" in finding.do) == overloaded


def test_a_robot_in_degrees(stage: Bench) -> None:
    stage.robot.mangle[JOINTS] = lambda m: _set(m, position=[float(np.rad2deg(v + 1)) for v in m.position])
    finding = found(stage)["panda_joint1 is in another unit than its limits"]
    assert finding.severity == "error" and "57.3" in finding.figures and "`scale`" in finding.do


def test_cameras_out_of_step(stage: Bench) -> None:
    stage.robot.mangle[FRONT] = lambda m: _later(m, -0.025)
    assert found(stage)["cameras are out of step"].severity == "warning"


def test_a_camera_that_is_too_slow_for_the_watchdog() -> None:
    with bench() as stage:
        stage.robot = stage.add(Robot(stage.context, rate=4.0))
        finding = found(stage)[f"/{FRONT} is too slow"]
        assert finding.severity == "error" and "sensor_timeout" in finding.do


def test_a_driver_that_dies_while_it_is_listened_to() -> None:
    arrivals = Arrivals([round(k * 5e7) for k in range(1, 20)], begin=0, end=5 * 10**9)
    assert arrivals.hertz == 3.8 and arrivals.longest == 4.05
    assert Arrivals([10**9], begin=0, end=5 * 10**9).hertz == 0.2


def test_a_camera_that_is_slower_than_the_policy() -> None:
    with bench() as stage:
        stage.robot = stage.add(Robot(stage.context, rate=12.0))
        assert found(stage)["camera front is slower than the policy"].severity == "warning"


def test_sensors_and_instruction_of_another_quality_of_service(stage: Bench) -> None:
    stage.ears.create_publisher(String, "instruction", 10)  # volatile, as `ros2 topic pub` without options
    finding = found(stage)["the quality of service of /instruction does not fit"]
    assert finding.severity == "error" and "/ears" in finding.figures and "transient_local" in finding.do


@pytest.mark.parametrize("name", ["console_node", "_ros2cli_4242"])  # the last one is `ros2 topic echo`
def test_who_only_listens_is_no_controller(name: str) -> None:
    with bench() as stage:
        listener = stage.add(Node(name, context=stage.context))
        listener.create_subscription(JointTrajectory, ARM, lambda _: None, bridge.COMMAND)
        finding = found(stage)[f"nobody listens on /{ARM}"]
        assert finding.severity == "error" and finding.figures.endswith("taken are none")


def test_a_controller_that_asks_for_more_than_is_offered(stage: Bench) -> None:
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
    controller(stage, SETTINGS, qos=latched)
    finding = found(stage)[f"the quality of service of /{ARM} does not fit"]
    assert finding.severity == "error" and "/arm_controller" in finding.figures and "VOLATILE" in finding.do


def test_somebody_else_commands_the_arm(stage: Bench) -> None:
    stage.ears.create_publisher(JointTrajectory, ARM, 10)
    stage.ears.create_publisher(JointTrajectory, "action_chunk", 10)
    what = found(stage)
    for topic, ours in ((ARM, "safety_node"), ("action_chunk", "policy_node")):
        finding = what[f"somebody else publishes /{topic}"]
        assert finding.severity == "error" and "/ears" in finding.figures and ours in finding.figures


def test_two_publishers_of_joint_states_contradict_each_other(stage: Bench) -> None:
    names = list(TABLE.state[0].joints)
    publisher = stage.ears.create_publisher(JointState, JOINTS, bridge.SENSOR_OUT)

    def publish() -> None:
        zero = np.zeros(len(names))
        now = stage.ears.get_clock().now().nanoseconds
        publisher.publish(bridge.joint_state(names, now, zero + 1.5, zero, zero))

    stage.ears.create_timer(0.02, publish)
    finding = found(stage)["joint states contradict each other"]
    assert finding.severity == "error" and "from 2 publishers" in finding.figures


@pytest.mark.parametrize(
    ("changed", "severity", "what", "words"),
    [
        ({"joints": ["a", "b"]}, "error", "does not move panda_joint1", "its joints are a, b"),
        ({"joints": [*TABLE.action[0].joints, "j8"]}, "error", "refuses trajectories of some", "lacks j8"),
        ({"interpolation_method": "none"}, "error", "does not interpolate", "splines"),
        ({"interpolate_from_desired_state": False}, "warning", "begins each trajectory at the measured", "steps back"),
        ({"command_interfaces": ["effort"]}, "warning", "commands effort", "gains"),
        ({"constraints.panda_joint1.trajectory": 0.05}, "warning", "gives up where panda_joint1 is late", "0.05"),
        ({"update_rate": 10}, "warning", "is slower than the policy", "10 Hz"),
        ({"use_sim_time": True}, "error", "is on another clock", "ours false"),
    ],
)
def test_settings_of_a_controller(stage: Bench, changed: dict[str, Any], severity: str, what: str, words: str) -> None:
    controller(stage, SETTINGS | changed)
    (finding,) = [f for name, f in found(stage).items() if name.startswith(f"/arm_controller {what}")]
    assert finding.severity == severity and words in f"{finding}"


def test_settings_that_need_nothing(stage: Bench) -> None:
    """Some joints are allowed; a trajectory ends at rest whatever is allowed; the old name of one setting."""
    joints = [*TABLE.action[0].joints, "j8"]
    fine = {"joints": joints, "allow_partial_joints_goal": True, "allow_nonzero_velocity_at_trajectory_end": False}
    fine |= {"interpolate_from_desired_state": False, "open_loop_control": True}
    controller(stage, SETTINGS | fine)
    assert not [what for what in found(stage) if "arm_controller" in what]


def test_an_action_server_that_is_not_there(stage: Bench) -> None:
    follow = replace(TABLE.action[0], type=FOLLOW, topic="arm_controller/follow_joint_trajectory")
    contract = replace(TABLE, action=(follow, TABLE.action[1]))
    what = "there is no action server /arm_controller/follow_joint_trajectory"
    assert found(stage, contract)[what].severity == "error"
    stage.ears.create_service(Trigger, "arm_controller/follow_joint_trajectory/_action/send_goal", lambda q, a: a)
    assert what not in found(stage, contract)


def test_simulated_time(stage: Bench) -> None:
    """Of which the doctor was not told, and of which nobody publishes any."""
    sim = [Parameter("use_sim_time", value=True)]
    assert found(stage, parameter_overrides=sim)["there is no time"].severity == "error"
    stage.ears.create_publisher(Clock, "/clock", 10)
    assert found(stage)["time is simulated"].severity == "warning"


def command(*words: str, domain: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ros_nodes.doctor", *words],
        cwd=ROOT,
        env={**os.environ, "ROS_DOMAIN_ID": str(domain)},
        capture_output=True,
        text=True,
    )


def test_the_command(stage: Bench) -> None:
    done = command("robot:=tabletop", "seconds:=2", domain=stage.domain.id)
    assert done.returncode == 0 and "the policy would run" in done.stdout, done.stdout + done.stderr
    stage.robot.mute.add(FRONT)
    done = command("robot:=tabletop", "seconds:=1", domain=stage.domain.id)
    assert done.returncode == 2 and "error: the policy would not run" in done.stderr
    assert "nothing comes on /camera/front/image_raw" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give the robot"),
        (["robot"], "name:=value"),
        (["robt:=x"], "did you mean 'robot'"),
        (["robot:=x"], "contract"),
        (["robot:=tabletop", "namespace:=le-ft"], "correct the namespace"),
        (["robot:=tabletop", "--ros-args", "-r", "foo"], "what follows --ros-args"),
    ],
)
def test_wrong_words_on_the_command_line(words: list[str], said: str) -> None:
    done = command(*words, domain=0)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr


def test_images_of_a_best_effort_driver_are_heard(stage: Bench) -> None:
    """Best effort fits our subscription."""
    stage.robot._out[FRONT] = stage.robot.create_publisher(
        Image, FRONT, QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    )
    assert not errors([f for what, f in found(stage).items() if "quality" in what])
