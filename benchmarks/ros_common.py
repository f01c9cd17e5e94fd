"""Shared by the benchmarks of the ROS 2 stack: a small model, nodes as processes, a robot's topics."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from time import monotonic_ns
from typing import Any

import numpy as np
import yaml
from onnx import TensorProto, helper, numpy_helper, save
from rclpy.context import Context
from rclpy.node import Node

from benchmarks.child import tied
from policy.robot.contract import FOLDER, load
from policy.robot.message_types import IMAGE
from policy.running.text import Text
from ros_nodes import arguments, bridge
from ros_nodes.domain import claim_domain
from sim.worlds.tabletop.world import Tabletop

ROOT = Path(__file__).parent.parent
ONE, OTHER = "open the drawer", "close the drawer"
SPEED = 0.2  # rad/s of the first joint; ONE and OTHER move it in opposite directions
CAMERA_RATE, JOINT_RATE = 30.0, 100.0
JOINTS = Tabletop.joint_topics["joint_states"]


def settle() -> None:
    """Keep DDS on this machine, on a domain that nobody else uses."""
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ["ROS_DOMAIN_ID"] = str(claim_domain().id)


def write_model(folder: Path, size: int, rate: float) -> None:
    """A model for the tabletop robot with cameras of `size` pixels square; only the first joint moves."""
    folder.mkdir(parents=True)
    raw = yaml.safe_load((FOLDER / "tabletop.yaml").read_text())
    raw["rate"] = rate
    for camera in raw["cameras"].values():
        camera["height"] = camera["width"] = size
    (folder / "contract.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    robot = load(folder / "contract.yaml").spec
    spec = replace(robot, reads=(*(f"image_{name}" for name in robot.cameras), "state", "instruction"))
    spec.save(folder / "spec.json")
    one, other = Text().embed([ONE, OTHER])
    offset = np.zeros((1, spec.horizon, len(spec.action)), np.float32)
    offset[0, :, 0] = SPEED / rate * np.arange(1, spec.horizon + 1)
    constants = {
        "between": 20 * (one - other)[:, None],
        "offset": offset,
        "axis": np.array([1]),
        "column": np.array([-1, 1, 1]),
    }
    cameras = [f"image_{name}" for name in spec.cameras]
    nodes = [
        helper.make_node("MatMul", ["instruction", "between"], ["which"]),
        helper.make_node("Tanh", ["which"], ["sign"]),
        helper.make_node("Reshape", ["sign", "column"], ["direction"]),
        helper.make_node("Mul", ["direction", "offset"], ["move"]),
        helper.make_node("Unsqueeze", ["state", "axis"], ["here"]),
        helper.make_node("Add", ["here", "move"], ["actions"]),
    ]
    inputs = [helper.make_tensor_value_info(c, TensorProto.UINT8, ["B", size, size, 3]) for c in cameras]
    inputs += [
        helper.make_tensor_value_info("state", TensorProto.FLOAT, ["B", len(spec.state)]),
        helper.make_tensor_value_info("instruction", TensorProto.FLOAT, ["B", spec.text]),
    ]
    shape: list[str | int | None] = ["B", spec.horizon, len(spec.action)]
    graph = helper.make_graph(
        nodes,
        "bench",
        inputs,
        [helper.make_tensor_value_info("actions", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    save(model, folder / "policy.onnx")


def start(module: str, **parameters: Any) -> subprocess.Popen[bytes]:
    """A node in a process of its own."""
    return subprocess.Popen(
        tied([sys.executable, "-m", module, "--ros-args", *arguments.parameters(parameters)]),
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a node and wait for it."""
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Source(Node):
    """Two cameras at 30 Hz and joints at 100 Hz, counted; images of noise are made once."""

    def __init__(self, model: Path, context: Context | None = None) -> None:
        super().__init__("source", context=context)
        self.contract = load(model / "contract.yaml")
        self.sent: dict[str, int] = {}
        self.on = True
        rng = np.random.default_rng(0)
        self._images = {
            c.topic: [rng.integers(0, 256, (c.height, c.width, 3), np.uint8) for _ in range(4)]
            for c in self.contract.cameras.values()
        }
        self._out = {
            t: self.create_publisher(bridge.message_class(kind), t, bridge.SENSOR_OUT)
            for t, kind in self.contract.observed.items()
        }
        self._zero = np.zeros(len(JOINTS))
        limits = self.contract.limits
        middle = ((limits.low + limits.high) / 2).astype(float)
        self._position = np.concatenate([middle[:7], np.repeat(middle[7] / 2, 2)])
        self.create_timer(1 / CAMERA_RATE, self._publish_images, clock=bridge.STEADY)
        self.create_timer(1 / JOINT_RATE, self._publish_joints, clock=bridge.STEADY)

    def _publish_images(self) -> None:
        if self.on:
            stamp = self.get_clock().now().nanoseconds
            for topic, images in self._images.items():
                kind = next(c.type for c in self.contract.cameras.values() if c.topic == topic)
                assert kind == IMAGE
                self._publish(topic, bridge.image(images[self.sent.get(topic, 0) % len(images)], stamp, ""))

    def _publish_joints(self) -> None:
        if self.on:
            stamp = self.get_clock().now().nanoseconds
            self._publish("joint_states", bridge.joint_state(JOINTS, stamp, self._position, self._zero, self._zero))

    def _publish(self, topic: str, message: Any) -> None:
        self._out[topic].publish(message)
        self.sent[topic] = self.sent.get(topic, 0) + 1


def spin(executor: Any, seconds: float) -> None:
    """Spin for some time."""
    end = monotonic_ns() + round(seconds * 1e9)
    while monotonic_ns() < end:
        executor.spin_once(timeout_sec=0.05)


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
