"""Latency of the ROS 2 stack: frame to chunk, instruction to set-point, fault to rest; and its CPU time.

    python benchmarks/ros_latency.py
    python benchmarks/ros_latency.py --seconds 5 --repeats 1

Each repeat measures its yardstick too, next to it on the same machine: a bare node that echoes each image of
the first camera as an action chunk of the same size, from stamp to arrival (two hops). Two cameras of
128x128 at 30 Hz, joints at 100 Hz; nodes are processes; the model does next to nothing. A fault is timed from
the last image, or from the signal that kills, to the report of the hold and to the arm's rest.
"""

import argparse
import signal
import sys
import tempfile
from pathlib import Path
from time import monotonic_ns, sleep
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from benchmarks import ros_common as common
from policy.errors import exit_code
from policy.robot.contract import load
from ros_nodes import bridge
from ros_nodes.sim_node import SimNode

FRONT = "camera/front/image_raw"
START = 60  # s until the policy node infers
SWITCHES = 20  # in a repeat
FAULTS = 5  # in a repeat


class Echo(Node):
    """The yardstick: receives what the policy node receives, and answers each front image."""

    def __init__(self, contract: str) -> None:
        super().__init__("echo")
        robot = load(contract)
        actions = np.tile((robot.limits.low + robot.limits.high) / 2, (robot.horizon, 1)).astype(float)
        times = robot.spec.dt_ns * np.arange(1, robot.horizon + 1)
        self._answer = bridge.trajectory(robot.spec.action, 0, times, actions)
        self._out = self.create_publisher(JointTrajectory, "echo", bridge.COMMAND)
        for topic, kind in robot.observed.items():
            receive = self._front if topic == FRONT else self._other
            self.create_subscription(bridge.message_class(kind), topic, receive, bridge.SENSOR_IN)

    def _front(self, message: Image) -> None:
        self._answer.header = message.header
        self._out.publish(self._answer)

    def _other(self, message: Any) -> None:
        """Receive another topic, nothing more."""


def frames(model: Path, seconds: float) -> dict[str, str]:
    """Stamp of the newest image to published chunk, less inference; the echo; the CPU time of the node."""
    common.settle()
    rclpy.init()
    source, executor = common.Source(model), SingleThreadedExecutor()
    executor.add_node(source)
    figures: dict[str, str] = {}
    echoes: list[float] = []

    def on_echo(message: JointTrajectory) -> None:
        stamp = bridge.nanoseconds(message.header.stamp)
        echoes.append((source.get_clock().now().nanoseconds - stamp) * 1e-6)

    source.create_subscription(DiagnosticArray, "/diagnostics", lambda message: _read(message, figures), 10)
    source.create_subscription(JointTrajectory, "echo", on_echo, bridge.COMMAND)
    source.create_subscription(JointTrajectory, bridge.ACTION_CHUNK, lambda message: None, bridge.COMMAND)
    operator = source.create_publisher(String, "instruction", bridge.LATCHED)
    operator.publish(String(data=common.ONE))
    node = common.start("ros_nodes.policy_node", model=model, autostart=True, obey_latched=True, replan=0.01, threads=1)
    try:
        end = monotonic_ns() + START * 10**9
        while int(figures.get("inferences", 0)) < 10:
            executor.spin_once(timeout_sec=0.1)
            if monotonic_ns() > end:
                raise RuntimeError(f"the policy node does not infer within {START} s: see what it logs")
        before, began = common.cpu(node.pid), monotonic_ns()
        common.spin(executor, seconds)
        share = (common.cpu(node.pid) - before) / ((monotonic_ns() - began) * 1e-9)
    finally:
        common.stop(node)
    echo = common.start("benchmarks.ros_latency", contract=model / "contract.yaml")
    try:
        while len(echoes) < 10:
            executor.spin_once(timeout_sec=0.1)
        echoes.clear()
        common.spin(executor, seconds)
    finally:
        common.stop(echo)
        source.destroy_node()
        rclpy.shutdown()
    median = float(figures["inference p50 / p99 ms"].split(" / ")[0])
    busy = median * 1e-3 * common.CAMERA_RATE  # of a core, by the inferences themselves
    return {
        "frame to chunk less inference, p50 / p99 ms": figures["frame to chunk less inference p50 / p99 ms"],
        "  bare two-hop echo, p50 / p99 ms": _p(echoes),
        "CPU of the policy node less inference, % of a core": f"{100 * (share - busy):.1f}",
    }


class Watched(SimNode):
    """The simulated robot, which records the set-point of its first joint."""

    def __init__(self) -> None:
        super().__init__()
        self.moves: list[tuple[int, float]] = []  # steady ns, step of the first joint's set-point [rad]
        self.holds: list[int] = []  # steady ns at which the safety node reported a hold
        self._last = self.world.setpoint()[0]
        self.create_subscription(DiagnosticStatus, "safety_node/status", self._on_status, bridge.LIVING_IN)

    def _on_status(self, message: DiagnosticStatus) -> None:
        if message.message.startswith("holding"):
            self.holds.append(monotonic_ns())

    def tick(self) -> None:
        super().tick()
        now = self.world.setpoint()[0]
        self.moves.append((monotonic_ns(), float(now - self._last)))
        self._last = now

    def mute(self, topic: str, silent: bool) -> None:
        """Stop publishing a topic, or begin again."""
        if silent:
            mute: Any = _Mute()
            self._kept, self.outputs[topic] = self.outputs[topic], mute
        else:
            self.outputs[topic] = self._kept


class _Mute:
    def publish(self, message: Any) -> None:
        """Publish nothing."""


def switches(model: Path) -> dict[str, str]:
    """In simulation: instruction to first changed set-point at the controller; fault to the arm's rest."""
    common.settle()
    rclpy.init()
    robot, executor = Watched(), SingleThreadedExecutor()
    executor.add_node(robot)
    figures: dict[str, str] = {}
    operator = robot.create_publisher(String, "instruction", bridge.LATCHED)
    robot.create_subscription(DiagnosticArray, "/diagnostics", lambda message: _read(message, figures), 10)
    nodes = {"policy_node": _policy(model), "safety_node": common.start("ros_nodes.safety_node", use_sim_time=True)}
    reactions: list[float] = []
    faults: dict[str, list[float]] = {
        f"{fault}, to {end}": [] for fault in ("camera silent", "policy killed") for end in ("hold", "rest")
    }

    def held(fault: str, began: int) -> None:
        while not (holds := [h for h in robot.holds if h > began]):
            executor.spin_once(timeout_sec=0.05)
        faults[f"{fault}, to hold"].append((holds[0] - began) * 1e-6)
        faults[f"{fault}, to rest"].append((_await(executor, robot, 0) - began) * 1e-6)

    direction = 1
    try:
        operator.publish(String(data=common.ONE))
        _await(executor, robot, direction)
        for i in range(SWITCHES):
            common.spin(executor, 0.5 + 0.037 * (i % 5))  # at all phases of the control period
            direction = -direction
            began = monotonic_ns()
            operator.publish(String(data=common.ONE if direction > 0 else common.OTHER))
            reactions.append((_await(executor, robot, direction) - began) * 1e-6)
        common.spin(executor, 1.5)  # the node publishes its figures once a second
        undisturbed = dict(figures)
        for _ in range(FAULTS):
            common.spin(executor, 1.0)  # at full speed
            robot.mute(FRONT, True)
            began = robot.moves[-1][0]  # its last image
            held("camera silent", began)
            robot.mute(FRONT, False)
            _await(executor, robot, direction)
            common.spin(executor, 1.0)
            nodes["policy_node"].send_signal(signal.SIGKILL)
            began = monotonic_ns()
            held("policy killed", began)
            nodes["policy_node"] = _policy(model)
            _await(executor, robot, direction)
    finally:
        for node in nodes.values():
            common.stop(node)
        robot.destroy_node()
        rclpy.shutdown()
    return {
        "instruction to changed set-point, p50 / p99 ms": _p(reactions),
        "  of it instruction to chunk, with its embedding": undisturbed["instruction to chunk p50 / p99 ms"],
        "  of it inference": undisturbed["inference p50 / p99 ms"],
        "  one control period": "50",
        **{f"{k}, p50 / p99 ms": _p(v) for k, v in faults.items()},
    }


def _read(message: DiagnosticArray, figures: dict[str, str]) -> None:
    """Take the newest figures of the policy node."""
    for status in message.status:
        if status.name == "policy_node: inference":
            figures.update({v.key: v.value for v in status.values})


def _policy(model: Path) -> Any:
    return common.start(
        "ros_nodes.policy_node", model=model, autostart=True, obey_latched=True, use_sim_time=True, threads=1
    )


def _await(executor: SingleThreadedExecutor, robot: Watched, direction: int) -> int:
    """Spin until the set-point moves in a direction (0: until it rests); returns when [steady ns]."""
    seen, end = len(robot.moves), monotonic_ns() + 60 * 10**9
    while monotonic_ns() < end:
        executor.spin_once(timeout_sec=0.05)
        for at, step in robot.moves[seen:]:
            if (abs(step) < 1e-5) if direction == 0 else step * direction > 1e-4:
                return at
        seen = len(robot.moves)
    raise RuntimeError("the stack did not react within a minute: see its diagnostics")


def _p(milliseconds: list[float]) -> str:
    return bridge.percentiles([m * 1e-3 for m in milliseconds])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small, tabletop = Path(folder) / "small", Path(folder) / "tabletop"
        common.write_model(small, 128, rate=common.CAMERA_RATE)
        common.write_model(tabletop, 96, rate=20.0)
        for i in range(args.repeats):
            print(f"run {i + 1}", flush=True)
            for name, value in {**frames(small, args.seconds), **switches(tabletop)}.items():
                print(f"  {name:58} {value}", flush=True)
            sleep(1.0)


if __name__ == "__main__":
    if "--ros-args" in sys.argv:  # the yardstick's process
        contract = next(a.split(":=")[1] for a in sys.argv if a.startswith("contract:="))
        sys.exit(bridge.run(lambda: Echo(contract)))
    sys.exit(exit_code(main))
