"""The settings of a joint_trajectory_controller that matter to a policy, read from its parameters.

The safety node publishes trajectories whose last velocity is 0, so that `allow_nonzero_velocity_at_trajectory_end` may
be either. Names and defaults are those of ros2_controllers (Jazzy); of Humble, `open_loop_control` is known.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rclpy.parameter import parameter_value_to_python
from rclpy.parameter_client import AsyncParameterClient

from policy.data.findings import Finding
from policy.robot.commands import Controller
from ros_nodes.doctor_listener import Listener

ANSWER = 2.0  # s that a controller has to answer
SETTINGS = (
    "joints",
    "command_joints",
    "command_interfaces",
    "interpolation_method",
    "interpolate_from_desired_state",
    "open_loop_control",
    "allow_partial_joints_goal",
    "allow_nonzero_velocity_at_trajectory_end",
    "set_last_command_interface_value_as_state_on_activation",
    "cmd_timeout",
    "constraints.stopped_velocity_tolerance",
    "constraints.goal_time",
    "update_rate",
    "use_sim_time",
)


def parameters(heard: Listener, name: str, controller: Controller) -> dict[str, Any]:
    """The settings of a node that it has; empty where it does not answer."""
    client = AsyncParameterClient(heard, name)
    if not client.wait_for_services(ANSWER):
        return {}
    listed = client.list_parameters([], 0)
    if not heard.spin_until_done(listed, ANSWER) or listed.result() is None:
        return {}
    wanted = {*SETTINGS, *(f"constraints.{joint}.trajectory" for joint in controller.joints)}
    names = sorted(wanted & set(listed.result().result.names))
    values = client.get_parameters(names)
    if not names or not heard.spin_until_done(values, ANSWER):
        return {}
    return {key: parameter_value_to_python(value) for key, value in zip(names, values.result().values, strict=False)}


def check_settings(
    heard: Listener, name: str, controller: Controller, settings: Mapping[str, Any]
) -> Iterator[Finding]:
    """Settings of a joint_trajectory_controller with which the policy would not run, or not as it could."""
    joints = list(settings.get("command_joints") or settings.get("joints") or [])
    if not joints:
        return  # another kind of controller, or one that does not answer
    ours = list(controller.joints)
    if unknown := [joint for joint in ours if joint not in joints]:
        yield Finding(
            "error",
            f"{name} does not move {', '.join(unknown)}",
            f"its joints are {', '.join(joints)}, the contract's are {', '.join(ours)}",
            "correct `joints` of the action in the contract",
        )
    elif len(joints) > len(ours) and not settings.get("allow_partial_joints_goal"):
        missing = ", ".join(joint for joint in joints if joint not in ours)
        yield Finding(
            "error",
            f"{name} refuses trajectories of some of its joints",
            f"the contract lacks {missing}, and allow_partial_joints_goal is false",
            "name all its joints in the contract, or set allow_partial_joints_goal to true",
        )
    if settings.get("interpolation_method") == "none":
        figures = "interpolation_method is none: set-points jump from point to point"
        yield Finding("error", f"{name} does not interpolate", figures, "set interpolation_method to splines")
    if not settings.get("interpolate_from_desired_state") and not settings.get("open_loop_control"):
        yield Finding(
            "warning",
            f"{name} begins each trajectory at the measured state",
            "interpolate_from_desired_state is false: the arm steps back a little at each new chunk",
            "set interpolate_from_desired_state to true",
        )
    if "position" not in (settings.get("command_interfaces") or ["position"]):
        yield Finding(
            "warning",
            f"{name} commands {', '.join(settings['command_interfaces'])}",
            "without a position interface the arm follows by the controller's gains",
            "see that its gains hold the arm against its weight",
        )
    yield from _tolerances(heard, name, controller, settings)
    yield from _clock(heard, name, settings)


def _tolerances(heard: Listener, name: str, controller: Controller, settings: Mapping[str, Any]) -> Iterator[Finding]:
    most = heard.contract.tracking_max[controller.columns] * abs(controller.scale)
    for joint, tracking in zip(controller.joints, most.tolist(), strict=True):
        tolerance = settings.get(f"constraints.{joint}.trajectory") or 0.0
        if 0 < tolerance < tracking:
            yield Finding(
                "warning",
                f"{name} gives up where {joint} is late",
                f"constraints.{joint}.trajectory is {tolerance:g}, the contract's tracking_max is {tracking:.3g}",
                "set it to 0 (no limit) or above tracking_max: the safety node watches the error",
            )


def _clock(heard: Listener, name: str, settings: Mapping[str, Any]) -> Iterator[Finding]:
    ours, theirs = bool(heard.get_parameter("use_sim_time").value), bool(settings.get("use_sim_time"))
    if ours != theirs:
        yield Finding(
            "error",
            f"{name} is on another clock",
            f"its use_sim_time is {str(theirs).lower()}, ours {str(ours).lower()}: times do not fit",
            "give use_sim_time to all nodes or to none",
        )
    if 0 < (rate := settings.get("update_rate") or 0) < heard.contract.rate:
        yield Finding(
            "warning",
            f"{name} is slower than the policy",
            f"its update_rate is {rate} Hz, the contract's rate is {heard.contract.rate:g} Hz",
            "raise update_rate of the controller and its manager",
        )
