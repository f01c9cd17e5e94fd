"""The action `~/perform` over real DDS: a goal is an instruction, and every way in which it ends."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.ros_tiny import Bench, Robot, bench, until  # skips this file where there is no ROS
from tests.tiny import TAUGHT, write_model

# isort: split
from action_msgs.msg import GoalStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.action import ActionClient
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from midstream_msgs.action import Perform
from ros_nodes import bridge
from ros_nodes.bridge import ACTION_CHUNK
from ros_nodes.executor_thread import in_executor
from ros_nodes.policy_node import PolicyNode

PATIENT = 5.0  # s: other work may have the machine
FIRST, SECOND, *_ = TAUGHT


class Program:
    """A client of the action, as a behaviour tree has it."""

    def __init__(self, stage: Bench) -> None:
        self.feedback: list[Any] = []
        self.client = ActionClient(stage.ears, Perform, "policy_node/perform")
        assert self.client.wait_for_server(30.0)

    def send(self, text: str) -> "Sent":
        """A goal that is accepted."""
        future = self.client.send_goal_async(
            Perform.Goal(instruction=text), feedback_callback=lambda m: self.feedback.append(m.feedback)
        )
        until(future.done, "the goal is answered")
        assert future.result().accepted
        return Sent(future.result())


class Sent:
    """A goal and its result."""

    def __init__(self, handle: Any) -> None:
        self.handle, self._future = handle, handle.get_result_async()

    @property
    def over(self) -> bool:
        return bool(self._future.done())

    def ends(self, outcome: str, status: int, words: str = "") -> None:
        """Wait for the result."""
        until(self._future.done, f"the goal ends as {outcome}")
        answer = self._future.result()
        assert (answer.result.outcome, answer.status) == (outcome, status), answer.result.message
        assert words in answer.result.message, answer.result.message


@pytest.fixture(scope="module")
def switching(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "switching"
    write_model(folder, ramp=0.005, switches=True)
    return folder


@pytest.fixture
def stage() -> Iterator[Bench]:
    with bench() as made:
        made.robot = made.add(Robot(made.context, clock=True))
        made.ears.listen(ACTION_CHUNK, JointTrajectory, bridge.COMMAND)
        yield made


Run = Callable[..., tuple[PolicyNode, Program]]


@pytest.fixture
def run(stage: Bench, switching: Path) -> Run:
    """A policy node that is active, and a program."""

    def start(**parameters: Any) -> tuple[PolicyNode, Program]:
        given = {"model": str(switching), "autostart": True, "sensor_timeout": PATIENT, "use_sim_time": True}
        node = stage.node(PolicyNode, **given | parameters)
        until(lambda: node.live is not None, "the node is active")
        return node, Program(stage)

    return start


def serves(node: PolicyNode, text: str) -> None:
    until(lambda: node.live is not None and node.live.loop.served == text, f"{text} is served")


def test_a_goal_is_done(stage: Bench, run: Run) -> None:
    """Feedback tells contact, mode and done on the way; the recorder's topic has the instruction, once."""
    heard = stage.ears.listen("instruction", String, bridge.LATCHED)
    node, program = run()
    goal = program.send(FIRST)
    serves(node, FIRST)
    stage.robot.tells = {"contact": 1.0, "mode": "rollback"}
    until(lambda: program.feedback and program.feedback[-1].mode == "rollback", "the feedback has the mode")
    assert program.feedback[-1].contact > 0.9 and program.feedback[-1].done < 0.1
    assert program.feedback[-1].status == f"commanding: {FIRST}"
    assert goal.handle.status == GoalStatus.STATUS_EXECUTING and not goal.over
    stage.robot.tells = {"done": 1.0}
    goal.ends("done", GoalStatus.STATUS_SUCCEEDED, f"done: {FIRST}")
    assert [m.data for m in heard] == [FIRST]
    again = program.send(FIRST)
    stage.robot.tells = {}
    until(lambda: node.live is not None and not node.live.loop.tracker.finished, "it is done once more")
    stage.robot.tells = {"done": 1.0}
    again.ends("done", GoalStatus.STATUS_SUCCEEDED)


def test_what_takes_the_place_of_a_goal(stage: Bench, run: Run) -> None:
    """Another goal, or a sentence on the topic; the same sentence, an empty one and one refused at once do not."""
    node, program = run()
    goal = program.send(FIRST)
    serves(node, FIRST)
    other = program.send(SECOND)
    goal.ends("superseded", GoalStatus.STATUS_ABORTED, SECOND)
    serves(node, SECOND)
    voice = stage.publish("instruction", String, String(data=SECOND), bridge.LATCHED)
    program.send("").ends("refused", GoalStatus.STATUS_ABORTED, "empty instruction")
    voice.publish(String(data="   "))
    assert not other.over
    voice.publish(String(data=FIRST))
    other.ends("superseded", GoalStatus.STATUS_ABORTED, FIRST)
    serves(node, FIRST)
    third = program.send("continue")
    serves(node, SECOND)
    voice.publish(String(data="stop"))
    third.ends("failed", GoalStatus.STATUS_ABORTED, "stopped by the instruction 'stop'")


def test_to_cancel_is_to_stop(stage: Bench, run: Run) -> None:
    """The arm is held; `continue` would resume."""
    node, program = run()
    goal = program.send(FIRST)
    serves(node, FIRST)
    goal.handle.cancel_goal_async()
    goal.ends("cancelled", GoalStatus.STATUS_CANCELED)
    assert node.live is not None
    until(lambda: node.live is not None and node.live.loop.reason.startswith("stopped"), "the arm is held")
    assert node.live.loop.text == "" and node.live.loop.tracker.unfinished == FIRST
    assert stage.ears.call("policy_node/continue", Trigger).success
    serves(node, FIRST)


def test_a_goal_that_the_policy_does_not_know(run: Run) -> None:
    node, program = run()
    program.send("make coffee").ends("refused", GoalStatus.STATUS_ABORTED, "unknown instruction 'make coffee'")
    goal = program.send(FIRST)
    serves(node, FIRST)
    program.send("make coffee").ends("refused", GoalStatus.STATUS_ABORTED, "unknown instruction")
    goal.ends("superseded", GoalStatus.STATUS_ABORTED)


def test_what_ends_a_goal_otherwise(stage: Bench, run: Run) -> None:
    node, program = run()
    goal = program.send(FIRST)
    serves(node, FIRST)
    assert stage.ears.call("policy_node/reset", Trigger).success
    goal.ends("failed", GoalStatus.STATUS_ABORTED, "a reset")
    goal = program.send(SECOND)
    serves(node, SECOND)
    transition = Transition(id=Transition.TRANSITION_DEACTIVATE)
    assert stage.ears.call("policy_node/change_state", ChangeState, transition=transition).success
    goal.ends("failed", GoalStatus.STATUS_ABORTED, "the node was deactivated")
    program.send(FIRST).ends("refused", GoalStatus.STATUS_ABORTED, "the node is not active")


def test_an_emergency_stop_ends_a_goal_and_a_silent_sensor_does_not(stage: Bench, run: Run) -> None:
    from ros_nodes.safety_node import SafetyNode

    stage.node(SafetyNode, command_timeout=PATIENT, state_timeout=PATIENT, use_sim_time=True)
    node, program = run(sensor_timeout=0.5)
    goal = program.send(FIRST)
    serves(node, FIRST)
    stage.robot.mute.add("camera/front/image_raw")
    until(lambda: "is silent" in program.feedback[-1].status, "the feedback says why the arm is held")
    stage.robot.mute.clear()
    until(lambda: program.feedback[-1].status == f"commanding: {FIRST}", "it goes on")
    assert not goal.over
    stage.ears.call("safety_node/estop", SetBool, data=True)
    goal.ends("failed", GoalStatus.STATUS_ABORTED, "e-stop")


def test_several_tasks_in_one_goal(stage: Bench, run: Run) -> None:
    """It is done when the last one is."""
    node, program = run()
    goal = program.send(f"{FIRST}, then {SECOND}")
    serves(node, FIRST)
    stage.robot.tells = {"done": 1.0}
    serves(node, SECOND)
    goal.ends("done", GoalStatus.STATUS_SUCCEEDED, f"done: {SECOND}")


def test_a_policy_that_cannot_tell(stage: Bench, run: Run, tmp_path: Path) -> None:
    """Contact, mode and done are unknown, and the goal ends when something else ends it."""
    write_model(tmp_path / "plain", ramp=0.005)
    node, program = run(model=str(tmp_path / "plain"))
    goal = program.send("anything at all")
    serves(node, "anything at all")
    until(lambda: program.feedback and program.feedback[-1].status.startswith("commanding"), "feedback")
    newest = program.feedback[-1]
    assert newest.mode == "unknown" and math.isnan(newest.contact) and math.isnan(newest.done)
    goal.handle.cancel_goal_async()
    goal.ends("cancelled", GoalStatus.STATUS_CANCELED)


def test_the_same_words_said_later_are_no_echo(stage: Bench, run: Run) -> None:
    """What the node publishes of a goal may never be heard: the topic keeps the newest alone."""
    node, program = run()
    program.send(FIRST)
    serves(node, FIRST)
    before, performer = time.time_ns(), node._performer
    in_executor(node, lambda: performer.publish(SECOND))
    in_executor(node, lambda: performer.publish(FIRST))
    assert not performer.is_echo(FIRST, time.time_ns()) and not performer.is_echo(SECOND, before)


def test_a_goal_is_told_of_the_end_of_the_node(stage: Bench, switching: Path) -> None:
    given = {"model": switching, "autostart": True, "sensor_timeout": PATIENT, "use_sim_time": True}
    process = stage.start("policy_node", **given)
    state = partial(stage.ears.call, "policy_node/get_state", GetState)
    until(lambda: state().current_state.label == "active", "it takes goals")
    goal = (program := Program(stage)).send(FIRST)
    until(lambda: program.feedback and program.feedback[-1].status == f"commanding: {FIRST}", "it is under way")
    process.send_signal(signal.SIGTERM)
    goal.ends("failed", GoalStatus.STATUS_ABORTED, "the node was deactivated")
    said, _ = process.communicate(timeout=30.0)
    assert process.returncode == 0, said
