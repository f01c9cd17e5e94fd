"""Who takes what the policy commands, and who else commands it."""

from collections.abc import Iterator
from typing import Any

from policy.data.findings import Finding
from policy.robot.commands import ACTIONS, Controller
from policy.robot.message_types import TRAJECTORY
from ros_nodes import bridge
from ros_nodes.bridge import ACTION_CHUNK, COMMAND
from ros_nodes.doctor_controllers import check_settings, parameters
from ros_nodes.doctor_listener import Listener, mismatch
from ros_nodes.graph import takers
from ros_nodes.node_names import node_name

OURS = ("safety_node", "policy_node", "replay_node", "leader_node")  # no controllers, whatever they take


def check_commands(heard: Listener) -> tuple[list[Finding], dict[str, dict[str, Any]]]:
    """All that is wrong with what the policy commands, and the settings of each controller that was reached."""
    findings = list(_publishers(heard, ACTION_CHUNK, "policy_node"))
    settings: dict[str, dict[str, Any]] = {}
    for controller in heard.contract.controllers:
        if controller.command.type in ACTIONS:
            findings += _action_server(heard, controller)
            continue
        findings += _publishers(heard, bridge.relative(controller.topic), "safety_node")
        findings += _subscriptions(heard, controller)
        for name in _controllers(heard, controller):
            settings[name] = parameters(heard, name, controller)
            findings += check_settings(heard, name, controller, settings[name])
    return findings, settings


def _publishers(heard: Listener, topic: str, ours: str) -> Iterator[Finding]:
    """Others than our node that publish what only that one may."""
    found = heard.publishers_of(topic)
    others = [node_name(one) for one in found if one.node_name != ours]
    if others or len(found) > 1:
        name = heard.resolve_topic_name(topic)
        yield Finding(
            "error",
            f"somebody else publishes {name}",
            f"{', '.join(sorted(node_name(one) for one in found))}; expected {ours} alone, else the arm is held",
            "end it before the policy is to move the robot",
        )


def _action_server(heard: Listener, controller: Controller) -> Iterator[Finding]:
    name = heard.resolve_topic_name(bridge.relative(controller.topic))
    services = {service for service, _ in heard.get_service_names_and_types()}
    if f"{name}/_action/send_goal" not in services:
        yield Finding(
            "error",
            f"there is no action server {name}",
            f"the contract commands a {controller.command.type}",
            "start the controller, or correct the name in the contract",
        )


def _subscriptions(heard: Listener, controller: Controller) -> Iterator[Finding]:
    """Whether somebody takes the commands, as their type and with a quality of service that fits."""
    name, kind = heard.resolve_topic_name(bridge.relative(controller.topic)), controller.command.type
    found = _takers(heard, controller)
    if not found:
        others = ", ".join(heard.topics_of(kind, taken=True)) or "none"
        yield Finding(
            "error",
            f"nobody listens on {name}",
            f"expected a controller that takes a {kind}; taken are {others}",
            "activate the controller (`ros2 control list_controllers`), or correct the topic in the contract",
        )
    for one in found:
        if one.topic_type != kind:
            figures = f"{node_name(one)} takes {one.topic_type}, the contract commands {kind}"
            yield Finding("error", f"{name} has another type", figures, "correct `type` in the contract")
            continue
        if why := mismatch(COMMAND, one.qos_profile):
            figures = f"{node_name(one)}: {why}"
            do = "let the controller ask for VOLATILE durability, or give the safety node qos_overrides (docs/nodes.md)"
            yield Finding("error", f"the quality of service of {name} does not fit", figures, do)


def _controllers(heard: Listener, controller: Controller) -> list[str]:
    """Full names of the nodes that take the trajectories."""
    if controller.command.type != TRAJECTORY:
        return []
    return sorted({node_name(one) for one in _takers(heard, controller)})


def _takers(heard: Listener, controller: Controller) -> list[Any]:
    """Who takes the commands by the rule of the safety node, which holds the arm where nobody does."""
    return [one for one in takers(heard, bridge.relative(controller.topic)) if one.node_name not in OURS]
