"""How a node's process ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy", reason="install the extra `ros`")

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
