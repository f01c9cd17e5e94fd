"""Each shipped robot over real DDS: its messages become frames, and a policy's answer goes to its drivers' topics."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

# isort: split  (ros_tiny skips this file where there is no ROS)
from tests.ros_tiny import LONG, Bench, Robot, bench, until
from tests.tiny import write_model

# isort: split
from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from policy.robot.contract import load
from ros_nodes import bridge
from ros_nodes.policy_node import PolicyNode
from ros_nodes.safety_node import SafetyNode

PATIENT = 9.0  # s
MOVED = {"tabletop": (0,), "so101": (0,), "aloha2": (0, 7), "two_arms": (0, 7)}  # first joint of each arm


@pytest.fixture
def stage() -> Iterator[Bench]:
    with bench() as made:
        yield made


@pytest.mark.parametrize("name", MOVED)
def test_from_its_messages_to_its_controllers(stage: Bench, tmp_path: Path, name: str) -> None:
    """The tiny model adds to the state that it reads, so what reaches a driver shows that each joint was read right.

    Every joint is somewhere else; only the first of each arm moves. Of contract tabletop_ee, tests/test_sim_node.py.
    """
    moved = list(MOVED[name])
    write_model(tmp_path / "model", ramp=0.01, robot=name, moved=MOVED[name])
    contract = load(name)
    low, high = contract.limits.low, contract.limits.high
    begin = low + (high - low) * np.linspace(0.3, 0.6, len(low))  # a place of its own for each joint
    robot = stage.add(Robot(stage.context, contract=name, clock=True, rate=contract.rate, start=begin))
    commands = {c.topic: stage.ears.listen(c.topic, JointTrajectory, 50) for c in contract.controllers}
    status = stage.ears.listen("policy_node/status", DiagnosticStatus, bridge.LATCHED)
    patient = {"use_sim_time": True, "command_timeout": PATIENT, "state_timeout": PATIENT}
    guard = stage.node(SafetyNode, contract=name, **patient)
    stage.node(PolicyNode, model=str(tmp_path / "model"), autostart=True, use_sim_time=True, sensor_timeout=PATIENT)
    until(lambda: status and any(v.key == "serves" for v in status[-1].values), "the policy node is active", 4 * LONG)
    stage.publish("instruction", String, String(data="open the drawer"), bridge.LATCHED)
    until(lambda: (robot.action - begin)[moved].min() > 0.1, "the first joint of each arm moves", 4 * LONG)
    still = np.delete(np.abs(robot.action - begin), moved)
    assert still.max() < 2e-3 and not robot.rejected and not guard._monitor.reason
    for controller in contract.controllers:
        message = commands[controller.topic][-1]
        assert tuple(message.joint_names) == controller.joints
        expected = begin[controller.columns] * controller.scale + controller.offset
        kept = [i for i, column in enumerate(controller.columns) if column not in moved]
        np.testing.assert_allclose(np.array(message.points[-1].positions)[kept], expected[kept], atol=2e-3)
