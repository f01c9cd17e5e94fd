"""What the tests of the policy node share: a tiny model, a robot without physics, and how it is instructed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ros_tiny import Bench, Robot, bench, until  # skips where there is no ROS
from tests.tiny import write_model

# isort: split
from std_msgs.msg import String

from ros_nodes import bridge
from ros_nodes.policy_node import PolicyNode

PATIENT = 5.0  # s: other work may have the machine


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_model(folder, ramp=0.005)
    return folder


@pytest.fixture
def stage() -> Iterator[Bench]:
    with bench() as made:
        made.robot = made.add(Robot(made.context, clock=True))
        yield made


def instruct(stage: Bench, node: PolicyNode, text: str) -> None:
    """Publish an instruction once the node is active: an older one is not obeyed."""
    until(lambda: node.live is not None, "the node is active")
    stage.publish("instruction", String, String(data=text), bridge.LATCHED)
