"""The nodes of `make demo-ros` as processes, beside a simulated robot and its operator in this one."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import String
from std_srvs.srv import Trigger

from policy.errors import InputError
from ros_nodes import arguments, bridge
from ros_nodes.sim_node import SimNode
from sim.worlds.interface import Task

READY = 60.0  # s for the stack to start, and for a service to answer


class Stack:
    """Starts the nodes, whose output goes into files below `out`; `close` ends them."""

    def __init__(self, model: Path, out: Path, seed: int) -> None:
        self.out = out
        self.values: dict[str, str] = {}  # newest value of each key of the nodes' status and diagnostics
        self._logs: list[IO[str]] = []
        rclpy.init()
        self.robot = SimNode(parameter_overrides=[Parameter("seed", value=seed)])
        self.operator = Node("operator")
        self._instruction = self.operator.create_publisher(String, "instruction", bridge.LATCHED)
        self.operator.create_subscription(DiagnosticStatus, bridge.POLICY_STATUS, self._receive, bridge.LATCHED)
        self.operator.create_subscription(DiagnosticArray, "/diagnostics", self._receive_all, 10)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.robot)
        self._executor.add_node(self.operator)
        self._processes = {name: self._start(name, parameters) for name, parameters in _parameters(model, out).items()}

    def until(self, true: Callable[[], bool], what: str, seconds: float = READY) -> None:
        """Spin until something is so; `InputError` if a node dies or it takes too long."""
        end = time.monotonic() + seconds
        while not true():
            self._executor.spin_once(timeout_sec=0.1)
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise InputError(f"{name} ended with exit code {process.returncode}; see {self.out / name}.log")
            if time.monotonic() > end:
                raise InputError(f"waited {seconds:.0f} s for {what}; the nodes' output is in {self.out}/*.log")

    def call(self, service: str, kind: Any = Trigger, **fields: bool) -> str:
        """Call a service and return its message; `InputError` where it refuses."""
        client = self.operator.create_client(kind, service)
        self.until(client.service_is_ready, f"the service {service}")
        future = client.call_async(kind.Request(**fields))
        self.until(future.done, f"an answer of {service}")
        response: Any = future.result()
        if not response.success:
            raise InputError(f"{service} refused: {response.message}")
        return str(response.message)

    def call_until_accepted(self, service: str) -> str:
        """Call a service until it accepts: a node that has just started may not have received the clock yet."""
        end = time.monotonic() + READY
        while True:
            try:
                return self.call(service)
            except InputError:
                if time.monotonic() > end:
                    raise
                self._executor.spin_once(timeout_sec=0.1)

    def instruct(self, text: str) -> None:
        """Publish an instruction and wait until a chunk serves it."""
        self._instruction.publish(String(data=text))
        self.until(lambda: self.values.get("serves") == text, "a chunk for the instruction")

    def follow(self, task: Task, seconds: float, until_contact: bool) -> bool:
        """Let the robot work until the task is done, it touches something or time is over: is it done?"""
        end, held = self.robot.now + round(seconds * 1e9), 0
        while self.robot.now < end and held < self.robot.world.success_steps:
            self._step()
            held = held + 1 if task.success(self.robot.world) else 0
            if until_contact and self.robot.world.contact:
                break
        return held >= self.robot.world.success_steps

    def close(self) -> None:
        """End all nodes in the regular way."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(READY)
            except subprocess.TimeoutExpired:
                process.kill()
        for log in self._logs:
            log.close()
        self.operator.destroy_node()
        self.robot.destroy_node()
        rclpy.try_shutdown()

    def _start(self, name: str, parameters: dict[str, object]) -> subprocess.Popen[str]:
        self._logs.append((self.out / f"{name}.log").open("w"))
        given = arguments.parameters({"use_sim_time": True, **parameters})
        return subprocess.Popen(
            [sys.executable, "-m", f"ros_nodes.{name}", "--ros-args", *given],
            stdout=self._logs[-1],
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _step(self) -> None:
        now = self.robot.now
        self.until(lambda: self.robot.now > now, "the next control step")

    def _receive(self, status: DiagnosticStatus) -> None:
        self.values |= {v.key: v.value for v in status.values}

    def _receive_all(self, array: DiagnosticArray) -> None:
        for status in array.status:
            self.values |= {f"{status.name}: {v.key}": v.value for v in status.values}


def _parameters(model: Path, out: Path) -> dict[str, dict[str, object]]:
    """As launch/sim.launch.xml: a simulation in software may stutter where a robot does not."""
    return {
        "safety_node": {"command_timeout": 0.5, "state_timeout": 0.5, "stop_file": out / "safety_node.json"},
        "policy_node": {"model": model, "autostart": True, "sensor_timeout": 0.5},
        "recorder_node": {"folder": out / "bags"},
    }
