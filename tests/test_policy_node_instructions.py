# ruff: noqa: F811  fixtures are imported
"""Which instructions the policy node obeys, over real DDS."""

import time
from pathlib import Path
from typing import Any

# isort: split  (ros_tiny skips this file where there is no ROS)
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from ros_nodes import bridge
from ros_nodes.bridge import ACTION_CHUNK
from ros_nodes.executor_thread import in_executor
from ros_nodes.policy_node import PolicyNode
from ros_nodes.safety_node import SafetyNode
from tests.policy_bench import PATIENT, instruct, model, stage  # noqa: F401  fixtures
from tests.ros_tiny import Bench, until, values
from tests.tiny import TAUGHT


def test_an_instruction_is_obeyed_once_and_the_newest_by_its_source_time(stage: Bench, model: Path) -> None:
    said: list[Any] = stage.ears.listen("policy_node/status", DiagnosticStatus, bridge.LATCHED)
    stage.ears.listen(ACTION_CHUNK, JointTrajectory, bridge.COMMAND)
    node = stage.node(PolicyNode, model=str(model), autostart=True, sensor_timeout=PATIENT, use_sim_time=True)
    until(lambda: node.live is not None, "the node is active")
    first, second, *_ = TAUGHT
    newest = time.time_ns()
    node._instruct(String(data=first), {"source_timestamp": newest})
    until(lambda: said and values(said[-1]).get("serves") == first, "the newest is served")
    node._instruct(String(data=second), {"source_timestamp": newest - 1})
    until(lambda: "older than the newest is not obeyed" in said[-1].message, "an older one is not")
    assert stage.ears.call("policy_node/reset", Trigger).success
    node._instruct(String(data=first), {"source_timestamp": time.time_ns() - 10**9})
    until(lambda: "not obeyed" in said[-1].message, "one from before the reset is not")
    assert node.live is not None and node.live.loop.text == ""


def test_a_middleware_without_source_times_is_obeyed(stage: Bench, model: Path) -> None:
    """CycloneDDS and others leave fields of the message info empty: no rule depends on them."""
    said: list[Any] = stage.ears.listen("policy_node/status", DiagnosticStatus, bridge.LATCHED)
    stage.ears.listen(ACTION_CHUNK, JointTrajectory, bridge.COMMAND)
    node = stage.node(PolicyNode, model=str(model), autostart=True, sensor_timeout=PATIENT, use_sim_time=True)
    until(lambda: node.live is not None, "the node is active")
    for text, info in ((TAUGHT[0], {}), (TAUGHT[1], {"source_timestamp": None}), (TAUGHT[2], {"source_timestamp": 0})):
        node._instruct(String(data=text), info)
        until(lambda text=text: said and values(said[-1]).get("serves") == text, f"{text} is served")


def test_obey_latched_obeys_what_was_published_before_the_activation(stage: Bench, model: Path) -> None:
    stage.ears.listen(ACTION_CHUNK, JointTrajectory, bridge.COMMAND)
    stage.publish("instruction", String, String(data=TAUGHT[0]), bridge.LATCHED)
    node = stage.node(
        PolicyNode, model=str(model), autostart=True, sensor_timeout=PATIENT, use_sim_time=True, obey_latched=True
    )
    until(lambda: node.live is not None and node.live.loop.served == TAUGHT[0], "it is served")


def test_an_instruction_is_obeyed_however_soon_after_a_stop_it_comes(stage: Bench, model: Path) -> None:
    """Topics overtake each other: the news of a stop may come after the instruction from after it."""
    said: list[Any] = stage.ears.listen("policy_node/status", DiagnosticStatus, bridge.LATCHED)
    safety: list[Any] = stage.ears.listen("safety_node/status", DiagnosticStatus, bridge.LATCHED)
    clock = {"use_sim_time": True}
    stage.node(SafetyNode, command_timeout=PATIENT, state_timeout=PATIENT, **clock)
    node = stage.node(PolicyNode, model=str(model), autostart=True, sensor_timeout=PATIENT, **clock)
    voice = stage.ears.create_publisher(String, "instruction", bridge.LATCHED)
    until(lambda: node.live is not None, "the node is active")

    def stop() -> None:
        assert stage.ears.call("safety_node/stop", Trigger).success
        until(lambda: safety and values(safety[-1])["stopped"], "it is known")

    for text in TAUGHT[:2]:
        stop()
        assert stage.ears.call("safety_node/reset", Trigger).success
        voice.publish(String(data=text))
        until(lambda text=text: said[-1].message == f"commanding: {text}", f"{text} is obeyed")
    late = safety[-1]
    late.values = [KeyValue(key="stopped", value="stopped: on request"), KeyValue(key="started", value="1")]
    served = node._gate._newest

    def hear() -> tuple[str, str]:  # at once, as the safety node's next report takes it back
        node._safety.take(late, {"source_timestamp": served - 1})
        return node._safety.fault(), node.live.loop.served

    fault, goes_on = in_executor(node, hear)
    assert fault and goes_on == TAUGHT[1], "the news of an earlier stop comes late"
    stop()
    until(lambda: "give the instruction again" in said[-1].message, "what came before a stop has ended")
    assert node.live.loop.served == ""


def test_it_commands_only_while_somebody_listens(stage: Bench, model: Path) -> None:
    said: list[Any] = stage.ears.listen("policy_node/status", DiagnosticStatus, bridge.LATCHED)
    node = stage.node(PolicyNode, model=str(model), autostart=True, sensor_timeout=PATIENT, use_sim_time=True)
    instruct(stage, node, "open the drawer")
    until(lambda: said and "nobody listens on action_chunk" in said[-1].message, "it says that nobody does")
    assert node.live is not None and node.live.loop.inferences <= 1
    stage.ears.listen(ACTION_CHUNK, JointTrajectory, bridge.COMMAND)
    until(lambda: said[-1].message == "commanding: open the drawer", "it commands")
