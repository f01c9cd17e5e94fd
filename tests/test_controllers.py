"""launch/controllers.yaml has what a policy needs of ros2_control, as the doctor asks for it."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy", reason="install the extra `ros`")

from policy.robot.contract import Contract, load
from ros_nodes.doctor_controllers import SETTINGS, check_settings

FILE = Path(__file__).parent.parent / "launch" / "controllers.yaml"


@dataclass
class Heard:
    """What the doctor has heard, as far as settings go."""

    contract: Contract

    def get_parameter(self, name: str) -> Any:
        """Of the doctor itself."""
        assert name == "use_sim_time"
        return SimpleNamespace(value=False)


def settings() -> dict[str, Any]:
    """The parameters of the controller, as a node has them."""
    file = yaml.safe_load(FILE.read_text())
    flat: dict[str, Any] = {}

    def flatten(values: dict[str, Any], before: str = "") -> None:
        for key, value in values.items():
            if isinstance(value, dict):
                flatten(value, f"{before}{key}.")
            else:
                flat[f"{before}{key}"] = value

    flatten(file["arm_controller"]["ros__parameters"])
    manager = file["controller_manager"]["ros__parameters"]
    return flat | {key: manager[key] for key in ("update_rate", "use_sim_time")}


def found(**changes: Any) -> list[str]:
    contract = load("desk_arm")
    changed = settings() | {key.replace("__", "."): value for key, value in changes.items()}
    return [f.what for f in check_settings(Heard(contract), "arm_controller", contract.controllers[0], changed)]  # type: ignore[arg-type]  # a stand-in


def test_the_doctor_finds_nothing_wrong() -> None:
    assert found() == []
    unknown = set(settings()) - {*SETTINGS, "state_interfaces"}
    assert all(key.startswith("constraints.") for key in unknown)


@pytest.mark.parametrize(
    "changes, what",
    [
        ({"joints": ["shoulder_pan"]}, "does not move"),
        ({"interpolation_method": "none"}, "does not interpolate"),
        ({"interpolate_from_desired_state": False}, "begins each trajectory at the measured state"),
        ({"constraints__elbow_flex__trajectory": 0.01}, "gives up where elbow_flex is late"),
        ({"use_sim_time": True}, "is on another clock"),
        ({"update_rate": 10}, "is slower than the policy"),
    ],
)
def test_each_setting_matters(changes: dict[str, Any], what: str) -> None:
    (only,) = found(**changes)
    assert what in only


def test_the_controllers_are_those_of_the_contract() -> None:
    (controller,) = load("desk_arm").controllers
    assert controller.topic == "follower/arm_controller/joint_trajectory"
    assert settings()["joints"] == list(controller.joints)
