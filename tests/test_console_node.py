"""The console over real DDS: what it shows of a robot's nodes, what it asks for, and that it stands in for none."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from policy.data.cache import open_cache
from policy.robot.contract import load
from tests.console_rig import Browser
from tests.ros_tiny import Bench, Robot, bench, until, within_limits  # skips the file where there is no ROS
from tests.test_leader_node import Leader
from tests.tiny import write_model

# isort: split
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import SetBool, Trigger

from ros_nodes import bridge
from ros_nodes.console_node import ConsoleNode
from ros_nodes.console_robot import ConsoleRobot
from ros_nodes.leader_node import LeaderNode
from ros_nodes.policy_node import PolicyNode
from ros_nodes.recorder_node import RecorderNode
from ros_nodes.safety_node import SafetyNode

CALM = {"command_timeout": 9.0, "state_timeout": 9.0}


def held(message: JointState, opening: float) -> JointState:
    """The joint states of a hand that a thing keeps open."""
    for i, name in enumerate(message.name):
        if "finger" in name or "gripper" in name:
            message.position[i] = max(message.position[i], opening)
    return message


@pytest.fixture
def model(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A policy that moves a little, or as the test asks for."""
    write_model(tmp_path / "model", **{"ramp": 0.002, "switches": True, **getattr(request, "param", {})})
    return str(tmp_path / "model")


@pytest.fixture
def stage(model: str) -> Iterator[Bench]:
    """A robot, its policy and the console, without a safety node."""
    with bench() as made:
        made.robot = made.add(Robot(made.context))
        made.node(PolicyNode, model=model, autostart=True, sensor_timeout=9.0)
        yield made


@pytest.fixture
def page(stage: Bench, model: str) -> Iterator[Browser]:
    """A connection to the console of the robot."""
    node = stage.node(ConsoleNode, model=model, port=0)
    browser = Browser(node.server)
    browser.until(lambda: browser.state.get("idle"), "the policy node is active, and says that nothing is asked for")
    yield browser
    browser.socket.close()


def test_it_shows_the_robot_and_asks_for_what_is_typed(stage: Bench, page: Browser) -> None:
    stage.node(SafetyNode, **CALM)
    heard = stage.ears.listen("instruction", String, bridge.LATCHED)
    assert page.hello["backend"] == "ROS" and len(page.hello["joints"]) == 8
    assert {"text": "open the drawer", "task": "open the drawer"} in page.hello["sentences"]
    page.until(lambda: min(page.pictures) > 3, "both cameras are live")
    assert page.ask("instruct", text="open the drawer")["ok"]
    page.until(lambda: page.state["serves"] == "open the drawer", "it is done")
    assert [m.data for m in heard] == ["open the drawer"]
    page.until(lambda: page.state["planned"]["times"] and page.state["committed"]["times"], "its curves are there")
    state = page.state
    assert len(state["planned"]["values"][0]) == 8 and max(state["committed"]["times"]) < 0.6
    assert state["executed"][0] == pytest.approx(stage.robot.action[0], abs=0.2)
    assert state["contact"] in (0.0, 1.0) and state["mode"] in ("forward", "rollback", "advance")
    page.until(lambda: "inference [ms]" in page.state["figures"], "latencies are there")
    assert page.ask("instruct", text="close the drawer")["ok"]
    page.until(lambda: page.state["serves"] == "close the drawer", "it changes")
    assert page.state["unfinished"] == "open the drawer"
    assert page.ask("stop")["ok"]
    page.until(lambda: page.state["idle"], "it is stopped")
    assert page.ask("continue")["ok"]
    page.until(lambda: page.state["serves"] == "close the drawer", "it goes on")


def test_a_refusal_is_shown(stage: Bench, page: Browser) -> None:
    stage.node(SafetyNode, **CALM)
    assert page.ask("instruct", text="do not open the drawer")["ok"]  # it is published; the policy node judges
    page.until(lambda: "forbids" in page.state["refused"], "the policy node refuses it")
    assert page.ask("instruct", text="open the drawer")["ok"]
    page.until(lambda: page.state["serves"] and not page.state["refused"], "another one is done")


def test_half_an_emoji_is_refused_and_not_published(stage: Bench, page: Browser) -> None:
    """JSON can carry it, and rclpy raises what is no sentence."""
    reply = page.ask("instruct", text="open the drawer \ud83d")
    assert not reply["ok"] and "not readable, expected UTF-8" in reply["message"]


def test_the_emergency_stop_is_the_safety_node_s(stage: Bench, page: Browser) -> None:
    guard = stage.node(SafetyNode, **CALM)
    assert page.ask("instruct", text="open the drawer")["ok"]
    page.until(lambda: page.state["serves"], "it moves")
    assert page.ask("emergency_stop")["ok"]
    assert guard._monitor.estopped and guard._monitor.stopped
    page.until(lambda: "e-stop" in page.state["stopped"], "it is shown")
    assert page.ask("reset")["ok"]
    assert not guard._monitor.stopped
    page.until(lambda: not page.state["stopped"] and not page.state["instruction"], "nothing is asked for any more")


def test_without_a_policy_a_stop_ends_all_the_same(stage: Bench, page: Browser) -> None:
    guard = stage.node(SafetyNode, **CALM)
    stage.leave(next(node for node in stage.executor.get_nodes() if isinstance(node, PolicyNode)))
    page.until(lambda: page.ask("emergency_stop")["ok"], "the safety node is there")
    page.until(lambda: "policy_node is not there" in page.ask("reset")["message"], "the policy node has gone")
    assert not guard._monitor.stopped


def test_it_stands_in_for_no_safety_node(stage: Bench, page: Browser) -> None:
    """The policy node counts who listens to its chunks, and commands nothing where nobody does."""
    status = stage.ears.listen("policy_node/status", DiagnosticStatus, bridge.LATCHED)
    assert page.ask("instruct", text="open the drawer")["ok"]
    page.until(lambda: "nobody listens on action_chunk" in " ".join(page.state["faults"]), "it is shown")
    shown = page.states
    while page.states < shown + 30:  # over several looks at who listens
        assert stage.ears.count_subscribers("action_chunk") == 0
        time.sleep(0.01)
    assert not page.ask("emergency_stop")["ok"]
    guard = stage.node(SafetyNode, **CALM)
    page.until(lambda: page.state["planned"]["times"], "a safety node is there, and the console listens too")
    stage.leave(guard)
    until(lambda: "nobody listens" in status[-1].message or "gone" in status[-1].message, "the safety node has gone")
    page.until(lambda: page.state["faults"], "it is shown")


def test_a_person_takes_over_what_is_done_is_labelled_and_the_policy_begins_anew(
    stage: Bench, page: Browser, tmp_path: Path
) -> None:
    stage.node(SafetyNode, **CALM)
    recorder = stage.node(RecorderNode, folder=str(tmp_path / "bags"))
    said = stage.ears.listen("label/correction", Bool)
    assert stage.ears.call("recorder_node/start", Trigger).success
    assert not page.ask("move", joint="panda_joint2", share=1.0)["ok"], "the policy is in control"
    assert page.ask("instruct", text="open the drawer")["ok"]
    page.until(lambda: page.state["serves"], "the policy commands")
    until(lambda: recorder.recorder.bag, "it is recorded")
    begun = stage.robot.action[0]
    until(lambda: abs(stage.robot.action[0] - begun) > 0.01, "it moves the arm")
    assert not said, "nobody has taken over yet"
    assert page.ask("take_over")["ok"]
    page.until(lambda: page.state["corrected"], "it is shown")
    until(lambda: said and said[-1].data, "it is labelled")

    def still() -> bool:
        recent = [a for _, a in stage.robot.setpoints[-30:]]
        return float(max(abs(a - b).max() for a in recent for b in recent)) < 1e-4

    until(still, "the arm rests, though the policy goes on to command")
    before = stage.robot.action.copy()

    def driven() -> bool:
        assert page.ask("move", joint="panda_joint2", share=1.0)["ok"]
        return bool(stage.robot.action[1] > before[1] + 0.1)

    until(driven, "the person moves a joint")
    assert stage.robot.action[0] == pytest.approx(before[0], abs=0.01), "the others stay"
    until(still, "it rests when nothing is asked for any more")
    within_limits(stage.robot)
    here = stage.robot.action.copy()
    assert page.ask("give_back")["ok"]
    page.until(lambda: not page.state["corrected"], "it is shown")
    until(lambda: abs(stage.robot.action[0] - here[0]) > 0.01, "the policy moves the arm again")
    assert stage.robot.action[1] == pytest.approx(here[1], abs=0.05), "from where it was left"
    until(lambda: not said[-1].data, "that is labelled, too")
    assert stage.ears.call("recorder_node/stop", Trigger).success
    cache = open_cache(tmp_path / "bags", stage.robot.contract)
    spans = np.flatnonzero(np.diff(cache.imitated.astype(int)))
    assert len(spans) == 2 and not cache.imitated[0], "the correction alone is imitated"
    assert np.ptp(cache.actions[cache.imitated], axis=0)[1] > 0.09


def test_nobody_takes_over_a_robot_that_is_stopped(stage: Bench, page: Browser) -> None:
    stage.node(SafetyNode, **CALM)
    assert page.ask("emergency_stop")["ok"]
    reply = page.ask("take_over")
    assert not reply["ok"] and "e-stop" in reply["message"]
    assert page.ask("reset")["ok"] and page.ask("take_over")["ok"]


def test_after_a_stop_nothing_is_done_that_was_wanted_before(stage: Bench, page: Browser) -> None:
    stage.node(SafetyNode, **CALM)
    assert page.ask("take_over")["ok"]
    begun = float(stage.robot.action[1])

    def key() -> bool:
        return bool(page.ask("move", joint="panda_joint2", share=1.0)["ok"])

    until(lambda: key() and stage.robot.action[1] > begun + 0.05, "the person moves a joint")
    assert key() and page.ask("emergency_stop")["ok"]
    page.until(lambda: page.state["stopped"], "it is stopped")
    for _ in range(10):
        assert not key(), "a key that is held is refused"
        time.sleep(0.05)
    stopped = float(stage.robot.action[1])
    assert page.ask("reset")["ok"]
    page.until(lambda: not page.state["stopped"] and page.state["corrected"], "the person goes on")
    time.sleep(1.0)
    assert stage.robot.action[1] == pytest.approx(stopped, abs=0.01), "no key is pressed"
    until(lambda: key() and stage.robot.action[1] > stopped + 0.05, "until one is")


def test_control_that_is_given_back_elsewhere_is_gone_here_too(stage: Bench, page: Browser) -> None:
    stage.node(SafetyNode, **CALM)
    assert page.ask("take_over")["ok"]
    assert page.ask("move", joint="panda_joint2", share=0.1)["ok"]
    until(lambda: stage.ears.count_publishers("operator_command") == 1, "the page drives")
    assert stage.ears.call("safety_node/take_over", SetBool, data=False).success
    until(lambda: stage.ears.count_publishers("operator_command") == 0, "it lets go")
    reply = page.ask("move", joint="panda_joint2", share=0.1)
    assert not reply["ok"] and "take over first" in reply["message"]


def test_a_key_drives_where_somebody_took_over_elsewhere(stage: Bench, page: Browser) -> None:
    stage.node(SafetyNode, **CALM)
    assert stage.ears.call("safety_node/take_over", SetBool, data=True).success
    page.until(lambda: page.state["corrected"], "it is shown")
    begun = float(stage.robot.action[1])

    def driven() -> bool:
        assert page.ask("move", joint="panda_joint2", share=1.0)["ok"]
        return bool(stage.robot.action[1] > begun + 0.05)

    until(driven, "the person moves a joint")


def test_stop_holds_what_a_leader_arm_drives(stage: Bench, page: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.node(SafetyNode, **CALM)
    stage.node(LeaderNode)
    leader = Leader(stage, stage.robot)
    assert page.ask("take_over")["ok"]
    leader.at[1] += 0.05
    until(lambda: abs(stage.robot.action[1] - leader.at[1]) < 1e-3, "the robot is where the leader is")
    with monkeypatch.context() as late:
        late.setattr(ConsoleRobot, "corrected", True)  # the safety node has not said yet that it is no more
        assert page.ask("stop")["ok"]
        reply = page.ask("move", joint="panda_joint2", share=0.5)  # a key that is held on
        assert not reply["ok"] and "take over first" in reply["message"]
    page.until(lambda: not page.state["corrected"], "it is shown")
    here = float(stage.robot.action[1])
    leader.at[1] -= 0.2
    time.sleep(1.0)
    assert stage.robot.action[1] == pytest.approx(here, abs=0.01)


def test_a_policy_that_is_gone_is_shown_and_takes_no_instruction(stage: Bench, page: Browser) -> None:
    page.until(lambda: page.state["idle"], "it waits for an instruction")
    (policy,) = (node for node in stage.executor.get_nodes() if isinstance(node, PolicyNode))
    stage.leave(policy)
    page.until(lambda: "nothing is heard of policy_node" in page.state["faults"], "it is shown")
    reply = page.ask("instruct", text="open the drawer")
    assert not reply["ok"] and "nothing is heard of policy_node" in reply["message"]


HAND = int(np.flatnonzero(load("tabletop").grippers)[0])


@pytest.mark.parametrize("model", [{"ramp": -1.0, "moved": (HAND,)}], indirect=True)  # it closes the hand
def test_what_is_held_is_held_when_a_person_takes_over(stage: Bench, page: Browser) -> None:
    """A hand that holds something measures the width of that, which is not where it was told to be."""
    stage.node(SafetyNode, **CALM)
    stage.robot.mangle["joint_states"] = lambda message: held(message, 0.02)
    assert page.ask("instruct", text="open the drawer")["ok"]
    until(lambda: stage.robot.action[HAND] < 1e-3, "the policy closes the hand")

    def heard() -> bool:
        ahead = page.state["committed"]["values"]
        return bool(ahead and abs(ahead[0][HAND]) < 1e-3)

    page.until(heard, "the console has heard so")
    assert page.ask("take_over")["ok"]
    before = float(stage.robot.action[1])

    def driven() -> bool:
        assert page.ask("move", joint="panda_joint2", share=1.0)["ok"]
        return bool(stage.robot.action[1] > before + 0.05)

    until(driven, "the person moves a joint")
    assert stage.robot.action[HAND] == pytest.approx(0.0, abs=0.005), "the hand's set-point stays"


def test_a_policy_that_is_not_active_is_shown_and_takes_no_instruction(stage: Bench, page: Browser) -> None:
    transition = Transition(id=Transition.TRANSITION_DEACTIVATE)
    assert stage.ears.call("policy_node/change_state", ChangeState, transition=transition).success
    page.until(lambda: page.state["faults"] == ["not active"] and not page.state["idle"], "it is shown")
    reply = page.ask("instruct", text="open the drawer")
    assert not reply["ok"] and "not active" in reply["message"]
    assert page.ask("stop")["ok"], "it is asked for whatever the node says"
