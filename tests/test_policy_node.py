# ruff: noqa: F811  fixtures are imported
"""The policy node over real DDS: lifecycle, what it takes and what leaves it."""

import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# isort: split  (ros_tiny skips this file where there is no ROS)
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from policy.errors import InputError
from policy.robot.contract import load
from ros_nodes import autostart, bridge, policy_node
from ros_nodes.bridge import ACTION_CHUNK
from ros_nodes.policy_node import PolicyNode
from tests.policy_bench import PATIENT, instruct, model, stage  # noqa: F401  fixtures
from tests.ros_tiny import LONG, Bench, Robot, bench, until, values
from tests.tiny import TAUGHT, write_model


def test_what_leaves_it_is_one_stamped_chunk_in_units_of_the_policy(stage: Bench, model: Path) -> None:
    chunks = stage.ears.listen(ACTION_CHUNK, JointTrajectory, bridge.COMMAND)
    node = stage.node(PolicyNode, model=str(model), autostart=True, sensor_timeout=PATIENT, use_sim_time=True)
    instruct(stage, node, "open the drawer")
    until(lambda: len(chunks) > 10, "chunks leave")
    contract = load("tabletop")
    for message in chunks:
        stamp, times, actions = bridge.chunk(message, contract.spec.action)
        assert stamp > 0 and times[0] > 0 and (np.diff(times) > 0).all() and actions.shape[1] == 8
        assert ((stamp + times) % contract.spec.dt_ns == (stamp + times[0]) % contract.spec.dt_ns).all()
    assert max(len(m.points) for m in chunks) > 4
    assert actions[0, 7] == pytest.approx(0.04)  # the opening, not the travel of one finger


def test_its_states(stage: Bench, model: Path) -> None:
    """Unconfigured, inactive and cleaned up it commands nothing; deactivated, it brings the arm to rest."""
    chunks = stage.ears.listen(ACTION_CHUNK, JointTrajectory, bridge.COMMAND)
    said: list[Any] = stage.ears.listen("policy_node/status", DiagnosticStatus, bridge.LATCHED)
    node = stage.node(PolicyNode, model=str(model), sensor_timeout=PATIENT, use_sim_time=True)

    def change(transition: int) -> bool:
        return bool(
            stage.ears.call("policy_node/change_state", ChangeState, transition=Transition(id=transition)).success
        )

    def state() -> str:
        return str(stage.ears.call("policy_node/get_state", GetState).current_state.label)

    assert state() == "unconfigured" and node.session is None
    assert change(Transition.TRANSITION_CONFIGURE) and state() == "inactive" and not chunks
    assert not change(Transition.TRANSITION_DEACTIVATE) and state() == "inactive", "an invalid transition fails"
    assert change(Transition.TRANSITION_ACTIVATE) and state() == "active"
    instruct(stage, node, "open the drawer")
    until(lambda: chunks, "a chunk")
    assert change(Transition.TRANSITION_DEACTIVATE) and state() == "inactive"
    until(lambda: len(chunks[-1].points) == 1, "the arm is brought to rest")
    until(lambda: said[-1].message == "not active", "it says so")
    count = len(chunks)
    assert change(Transition.TRANSITION_CLEANUP) and state() == "unconfigured" and node.session is None
    assert change(Transition.TRANSITION_CONFIGURE) and change(Transition.TRANSITION_ACTIVATE)
    # the instruction is latched: who subscribes anew hears it again, and it is older than the activation
    until(lambda: "from before the node was activated is not obeyed" in said[-1].message, "it reports that")
    assert len(chunks) == count
    instruct(stage, node, "open the drawer")
    until(lambda: len(chunks) > count, "a chunk again")


def test_the_status_says_what_is_served_and_services_go_back(stage: Bench, model: Path) -> None:
    said: list[Any] = stage.ears.listen("policy_node/status", DiagnosticStatus, bridge.LATCHED)
    node = stage.node(PolicyNode, model=str(model), autostart=True, sensor_timeout=PATIENT, use_sim_time=True)
    stage.ears.listen(ACTION_CHUNK, JointTrajectory, bridge.COMMAND)
    voice = stage.ears.create_publisher(String, "instruction", bridge.LATCHED)
    until(lambda: node.live is not None, "the node is active")

    def serves(text: str, switches: int) -> None:
        until(
            lambda: (
                said
                and (v := values(said[-1]))["serves"] == text == v["instruction"]
                and v["switches"] == str(switches)
            ),
            f"{text} is served",
        )

    heard = stage.ears.listen("instruction", String, bridge.LATCHED)  # as the recorder does
    voice.publish(String(data="open the drawer"))
    serves("open the drawer", 0)
    assert set(values(said[-1])) >= {"instruction", "serves", "mode", "contact", "done", "switches"}
    voice.publish(String(data="close the drawer"))
    serves("close the drawer", 1)
    assert stage.ears.call("policy_node/continue", Trigger).success
    serves("open the drawer", 2)
    assert stage.ears.call("policy_node/reset", Trigger).success
    until(lambda: values(said[-1])["holding"] == "no instruction yet", "it holds")
    told = ["open the drawer", "close the drawer", "open the drawer", "stop"]
    until(lambda: [one.data for one in heard] == told, "what the services did is heard on the topic")
    assert not stage.ears.call("policy_node/continue", Trigger).success
    voice.publish(String(data="   "))
    until(lambda: "empty instruction" in said[-1].message, "it says why it refused")
    assert node.live is not None and node.live.loop.reaction_s and node.live.loop.inferences


def test_the_status_of_a_switching_policy(stage: Bench, tmp_path: Path) -> None:
    write_model(tmp_path / "model", ramp=0.005, switches=True)
    robot = stage.robot
    said: list[Any] = stage.ears.listen("policy_node/status", DiagnosticStatus, bridge.LATCHED)
    chunks = stage.ears.listen(ACTION_CHUNK, JointTrajectory, bridge.COMMAND)
    node = stage.node(
        PolicyNode, model=str(tmp_path / "model"), autostart=True, sensor_timeout=PATIENT, use_sim_time=True
    )
    voice = stage.ears.create_publisher(String, "instruction", bridge.LATCHED)

    def says(**expected: str) -> None:
        until(lambda: said and expected.items() <= values(said[-1]).items(), f"it says {expected}")

    first, second, *_ = TAUGHT
    until(lambda: node.live is not None, "the node is active")
    voice.publish(String(data=first))
    says(serves=first, mode="forward", contact="no", done="no", unfinished="")
    robot.tells = {"contact": 1.0}
    says(contact="yes", mode="forward")
    robot.tells = {"contact": 1.0, "mode": "rollback"}
    voice.publish(String(data=second))
    says(serves=second, mode="rollback", contact="yes", unfinished=first, switches="1")
    robot.tells = {"done": 1.0}
    says(mode="forward", contact="no", done="yes")
    assert said[-1].message == f"done: {second}" and said[-1].level == DiagnosticStatus.OK
    until(lambda: np.ptp(bridge.points(chunks[-1])[1], axis=0).max() == 0, "one set-point is repeated")
    count = len(said)
    robot.tells = {"done": 0.9, "contact": 0.3}
    voice.publish(String(data="make coffee"))
    until(lambda: said[-1].message.startswith("holding: unknown instruction 'make coffee'"), "it refuses")
    assert said[-1].level == DiagnosticStatus.WARN and values(said[-1])["unfinished"] == first
    assert len(said) - count <= 3, "not for every change of a chance"
    robot.tells = {}
    assert stage.ears.call("policy_node/continue", Trigger).message == first
    says(serves=first, unfinished="")
    again = stage.ears.call("policy_node/continue", Trigger)
    assert not again.success and "no instruction was left unfinished" in again.message
    assert values(said[-1])["instruction"] == values(said[-1])["serves"] == first
    voice.publish(String(data=f"{second}, then {first}"))
    says(serves=second, following=first)
    voice.publish(String(data="stop"))
    says(instruction="")
    assert stage.ears.call("policy_node/continue", Trigger).message == second
    says(serves=second, following=first)
    assert stage.ears.call("policy_node/reset", Trigger).success
    says(instruction="", mode="not estimated", unfinished="")


def test_a_robot_with_compressed_cameras(tmp_path: Path) -> None:
    """Six joints and JPEG pictures: how fast the tiny model moves tells what it sees."""
    write_model(tmp_path / "model", ramp=0.005, robot="so101")
    with bench() as stage:
        robot = stage.add(Robot(stage.context, contract="so101", clock=True, rate=30.0))
        chunks = stage.ears.listen(ACTION_CHUNK, JointTrajectory, bridge.COMMAND)
        said = stage.ears.listen("/diagnostics", DiagnosticArray, 10)
        node = stage.node(
            PolicyNode, model=str(tmp_path / "model"), autostart=True, sensor_timeout=PATIENT, use_sim_time=True
        )
        instruct(stage, node, "open the drawer")
        for shade in (255, 51):
            robot.shade = shade
            until(
                lambda shade=shade: (
                    chunks
                    and len(chunks[-1].points) > 20
                    and np.allclose(np.diff(bridge.points(chunks[-1])[1][:, 0])[-10:], 0.005 * shade / 255, atol=2e-5)
                ),
                f"it moves as fast as {shade} is bright",
            )
        topic = robot.contract.cameras["wrist"].topic
        robot.mangle[topic] = lambda m: type(m)(header=m.header, format=m.format, data=m.data[:100])
        until(
            lambda: any("no JPEG" in words for m in said for s in m.status for words in values(s)),
            "it says what it cannot read",
        )
        robot.mangle.clear()
        count = len(chunks)
        until(lambda: len(chunks) > count + 5, "it goes on")


def test_its_diagnostics(stage: Bench, model: Path) -> None:
    said: list[Any] = stage.ears.listen("/diagnostics", DiagnosticArray, 10)
    stage.ears.listen(ACTION_CHUNK, JointTrajectory, bridge.COMMAND)
    node = stage.node(PolicyNode, model=str(model), autostart=True, sensor_timeout=PATIENT, use_sim_time=True)
    instruct(stage, node, "open the drawer")
    until(
        lambda: any(s.message == "commanding: open the drawer" for m in said for s in m.status),
        "it says that it commands",
    )
    newest = {s.name: values(s) for s in said[-1].status}
    assert newest["policy_node: inference"]["provider"] == "cpu"
    assert " / " in newest["policy_node: inference"]["inference p50 / p99 ms"]
    assert float(newest["policy_node: sensors"]["messages per s"]) > 0


def test_a_model_that_comes_later_is_taken(stage: Bench, model: Path, tmp_path: Path) -> None:
    node = stage.node(PolicyNode, model=str(tmp_path / "later"), autostart=True)
    until(lambda: node._failure, "it says why it cannot start")
    assert "no model folder" in node._failure
    write_model(tmp_path / "later")
    until(lambda: node.live is not None, "it starts")


def test_what_a_person_configures_does_not_start_by_itself(
    stage: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It failed, and would be tried again; all tries share one timer."""
    monkeypatch.setattr(autostart, "RETRY", 50_000_000)
    node = stage.node(PolicyNode, model=str(tmp_path / "later"), autostart=True)
    until(lambda: node._failure, "it says why it cannot start")
    timers = len(list(node.timers))
    time.sleep(1.0)
    assert len(list(node.timers)) == timers
    write_model(tmp_path / "aside")

    def change(transition: int) -> bool:
        asked = stage.ears.call("policy_node/change_state", ChangeState, transition=Transition(id=transition))
        return bool(asked.success)

    assert not change(Transition.TRANSITION_CONFIGURE), "by hand, and it fails as well"
    (tmp_path / "aside").rename(tmp_path / "later")
    time.sleep(1.0)
    assert str(stage.ears.call("policy_node/get_state", GetState).current_state.label) == "unconfigured"
    assert change(Transition.TRANSITION_CONFIGURE)


def test_a_configuration_that_fails_says_why_and_succeeds_once_the_cause_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A robot with JPEG cameras where OpenCV is not installed, then where it is."""
    write_model(tmp_path / "model", ramp=0.005, robot="so101")
    with bench() as stage:
        statuses: list[Any] = stage.ears.listen("policy_node/status", DiagnosticStatus, bridge.LATCHED)
        node = stage.node(PolicyNode, model=str(tmp_path / "model"))

        def configure() -> bool:
            transition = Transition(id=Transition.TRANSITION_CONFIGURE)
            return bool(stage.ears.call("policy_node/change_state", ChangeState, transition=transition).success)

        with monkeypatch.context() as without:
            without.setitem(sys.modules, "cv2", None)
            assert not configure() and node.session is None
            until(lambda: statuses and "pip install" in statuses[-1].message, "the status says what to do")
            assert "opencv" in statuses[-1].message.lower() and not configure()
        assert str(stage.ears.call("policy_node/get_state", GetState).current_state.label) == "unconfigured"
        assert configure() and node.session is not None
        until(lambda: statuses[-1].message == "not active", "the failure is forgotten")


@pytest.mark.parametrize("broken", ["configuring", "activating"])
def test_an_error_of_any_kind_in_a_transition_is_said_in_log_and_status(
    stage: Bench, model: Path, monkeypatch: pytest.MonkeyPatch, broken: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """rclpy drops what a transition raises without a word."""
    statuses: list[Any] = stage.ears.listen("policy_node/status", DiagnosticStatus, bridge.LATCHED)
    found: list[Any] = stage.ears.listen("/diagnostics", DiagnosticArray)
    node = stage.node(PolicyNode, model=str(model))

    def change(transition: int) -> bool:
        asked = stage.ears.call("policy_node/change_state", ChangeState, transition=Transition(id=transition))
        return bool(asked.success)

    def throw(*_: Any, **__: Any) -> Any:
        raise zlib.error("invalid distance too far back")

    configures = broken == "configuring" or change(Transition.TRANSITION_CONFIGURE)
    assert configures
    transition = Transition.TRANSITION_CONFIGURE if broken == "configuring" else Transition.TRANSITION_ACTIVATE
    says = f"{broken} failed: error: invalid distance too far back"
    with monkeypatch.context() as patched:
        patched.setattr(policy_node, "open_session" if broken == "configuring" else "LiveLoop", throw)
        assert not change(transition) and not change(transition)
        until(lambda: statuses and says in statuses[-1].message, "the status says it")
        assert statuses[-1].level == DiagnosticStatus.ERROR
        until(lambda: any(says in s.message for m in found for s in m.status), "the diagnostics say it")
    state = str(stage.ears.call("policy_node/get_state", GetState).current_state.label)
    assert state == ("unconfigured" if broken == "configuring" else "inactive") and node.live is None
    assert capfd.readouterr().err.count("Traceback") == 1, "once, though it was tried twice"
    assert change(transition)
    until(lambda: "failed" not in statuses[-1].message, "the failure is forgotten")


def test_under_a_namespace_and_remapped(model: Path) -> None:
    """A process of its own, as a robot runs it."""
    with bench() as stage:
        chunks = stage.ears.listen(f"left/{ACTION_CHUNK}", JointTrajectory, bridge.COMMAND)
        said = stage.ears.listen("left/policy_node/status", DiagnosticStatus, bridge.LATCHED)
        stage.start(
            "policy_node",
            "__ns:=/left",
            "camera/front/image_raw:=/camera/front/image_raw",
            "camera/wrist/image_raw:=/camera/wrist/image_raw",
            "joint_states:=/joint_states",
            "instruction:=words",
            model=model,
            autostart=True,
            sensor_timeout=PATIENT,
            use_sim_time=True,
        )
        stage.add(Robot(stage.context, clock=True))
        until(lambda: said and "no instruction yet" in said[-1].message, "it is active")
        stage.publish("left/words", String, String(data="open the drawer"), bridge.LATCHED)
        until(lambda: chunks, "a trajectory under the namespace")


def test_a_type_that_is_not_installed_is_said_and_nothing_is_left_open(
    stage: Bench, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = stage.node(PolicyNode, model=str(model))
    known = bridge.message_class

    def without_joints(kind: str) -> type:
        if kind == "sensor_msgs/msg/JointState":
            raise InputError(f"{kind} is not installed")
        return known(kind)

    monkeypatch.setattr(bridge, "message_class", without_joints)
    transition = Transition(id=Transition.TRANSITION_CONFIGURE)
    for _ in range(2):
        assert not stage.ears.call("policy_node/change_state", ChangeState, transition=transition).success
        assert str(stage.ears.call("policy_node/get_state", GetState).current_state.label) == "unconfigured"
        assert node._failure == "sensor_msgs/msg/JointState is not installed"
        assert node.session is None and not node._inputs


@pytest.mark.parametrize("given, taken", [("", None), (1.0, 1.0), (2, 2.0), ("0.5", 0.5)])
def test_the_return_to_go_is_a_number_in_any_spelling_or_nothing(given: Any, taken: float | None) -> None:
    with bench() as stage:
        node = stage.node(PolicyNode, return_to_go=given)
        assert bridge.number("return_to_go", node._return_to_go) == taken


@pytest.mark.parametrize("given", ["much", True, [1.0]])
def test_another_return_to_go_is_refused(given: Any) -> None:
    with pytest.raises(InputError, match=r"return_to_go: got .*expected a number, or nothing"):
        bridge.number("return_to_go", given)


def test_a_policy_that_looks_again_later_than_its_chunk_lasts_is_refused(stage: Bench, model: Path) -> None:
    """Between two chunks nothing would be commanded, and its status would say that it commands."""
    node = stage.node(PolicyNode, model=str(model), replan=0.8)
    transition = Transition(id=Transition.TRANSITION_CONFIGURE)
    assert not stage.ears.call("policy_node/change_state", ChangeState, transition=transition).success
    assert "parameter replan" in node._failure and "less than a chunk lasts: 0.8 s" in node._failure


@pytest.mark.parametrize(
    ("parameter", "value"), [("replan", -1.0), ("sensor_timeout", -1.0), ("threads", "many"), ("provider", 5)]
)
def test_a_parameter_out_of_range_is_refused_at_the_start(model: Path, parameter: str, value: Any) -> None:
    with bench() as stage:
        process = stage.start("policy_node", model=model, **{parameter: value})
        said, _ = process.communicate(timeout=LONG)
        assert process.returncode == 2 and parameter in said and "Traceback" not in said
