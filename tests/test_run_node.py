"""How a node's process ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy", reason="install the extra `ros`")

from ros_nodes.domain import claim_domain  # noqa: E402
from ros_nodes.stop_file import CRASHED, StopFile  # noqa: E402

ROOT = Path(__file__).parent.parent
# As rclpy where a signal comes while it takes a message: pybind11 makes another error of the KeyboardInterrupt.
SCRIPT = """
import os, signal, sys
from rclpy.node import Node
from ros_nodes import bridge

class Executor(bridge.SingleThreadedExecutor):
    def spin_once(self, timeout_sec):
        try:
            if {comes}:
                os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            pass
        raise RuntimeError("Unable to convert call argument")

class Told(Node):
    def destroy_node(self):
        print("ended")
        super().destroy_node()

bridge.SingleThreadedExecutor = Executor
sys.exit(bridge.run(lambda: Told("told")))
"""

GUARD = """
import os, signal, sys
from ros_nodes import bridge
from ros_nodes.safety_node import SafetyNode

def end(node):
    if {comes}:
        os.kill(os.getpid(), signal.SIGTERM)
    raise ValueError("cannot convert float NaN to integer")

SafetyNode._watch = end
sys.exit(bridge.run(SafetyNode))
"""


@pytest.mark.parametrize("comes", [True, False])
def test_a_signal_ends_a_node_in_order_whatever_rclpy_makes_of_it_and_no_other_error_does(comes: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(comes=comes)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        env=os.environ | {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"},
    )
    assert (done.returncode == 0) == comes and done.stdout == "ended\n", done.stderr
    assert ("Unable to convert" in done.stderr) != comes


@pytest.mark.parametrize("comes", [True, False])
def test_a_safety_node_that_an_error_ends_starts_stopped_and_one_that_a_signal_ends_does_not(
    comes: bool, tmp_path: Path
) -> None:
    path, domain = tmp_path / "stop.json", claim_domain()
    try:
        done = subprocess.run(
            [sys.executable, "-c", GUARD.format(comes=comes), "--ros-args", "-p", f"stop_file:={path}"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=60,
            env=os.environ | {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_DOMAIN_ID": str(domain.id)},
        )
    finally:
        domain.release()
    assert (done.returncode == 0) == comes and ("cannot convert" in done.stderr) != comes, done.stderr
    assert StopFile(path).begin(stopped_after_crash=True) == ("" if comes else CRASHED, False)
