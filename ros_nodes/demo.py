"""`make demo-ros`: the whole stack over DDS on this machine, with no ROS install.

The instruction is changed on the way, both episodes are recorded, and that recording is trained on.

    this process            processes
    operator + sim_node     policy_node -> safety_node -> (the arm)     recorder_node -> bags -> policy.train
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom
from typing import IO, Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rich.console import Console
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from policy.data.bags import find_bags, read_episodes
from policy.errors import InputError, exit_code
from policy.robot import contract as contracts
from ros_nodes import bridge
from ros_nodes.domain import claim_domain
from ros_nodes.sim_node import SimNode
from sim import headless
from sim.tasks import HOLD, TASKS, Task

READY = 60.0  # s for the stack to come up, and for a service to answer
CHANGE_AFTER = 4.0  # s of the robot's clock on the first instruction, unless it touches something before
TRAIN_SAMPLES = 640  # five steps
NODES = ("safety_node", "policy_node", "recorder_node")


class Stack:
    """The nodes as processes, with their output in files, and an operator beside the simulated robot."""

    def __init__(self, model: Path, out: Path, seed: int) -> None:
        self.out = out
        self.heard: dict[str, str] = {}  # newest value of each key that a node tells
        # as launch/sim.launch.xml: a simulation in software may stutter where a robot does not
        parameters: dict[str, dict[str, object]] = {
            "safety_node": {"command_timeout": 0.5, "state_timeout": 0.5},
            "policy_node": {"model": model, "autostart": "true", "sensor_timeout": 0.5},
            "recorder_node": {"folder": out / "bags"},
        }
        self._logs: list[IO[str]] = []
        self.processes: dict[str, subprocess.Popen[str]] = {}
        for name in NODES:
            self._logs.append((out / f"{name}.log").open("w"))
            values = {**parameters[name], "use_sim_time": "true"}
            given = [word for key, value in values.items() for word in ("-p", f"{key}:={value}")]
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"ros_nodes.{name}", "--ros-args", *given],
                stdout=self._logs[-1],
                stderr=subprocess.STDOUT,
                text=True,
            )
        rclpy.init()
        self.robot = SimNode(parameter_overrides=[Parameter("seed", value=seed)])
        self.operator = Node("operator")
        self._instruction = self.operator.create_publisher(String, "instruction", bridge.LATCHED)
        self.operator.create_subscription(DiagnosticStatus, "policy_node/status", self._told, bridge.LATCHED)
        self.operator.create_subscription(DiagnosticArray, "/diagnostics", self._diagnosed, 10)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.robot)
        self._executor.add_node(self.operator)

    def until(self, true: Callable[[], bool], what: str, seconds: float = READY) -> None:
        """Spin until something is so; `InputError` if a node dies or it takes too long."""
        end = time.monotonic() + seconds
        while not true():
            self._executor.spin_once(timeout_sec=0.1)
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise InputError(f"{name} ended with exit code {process.returncode}; see {self.out / name}.log")
            if time.monotonic() > end:
                raise InputError(f"waited {seconds:.0f} s for {what}; the nodes' output is in {self.out}/*.log")

    def ask(self, service: str, kind: Any = Trigger, **fields: bool) -> str:
        """Call a service and return what it answers."""
        client = self.operator.create_client(kind, service)
        self.until(client.service_is_ready, f"the service {service}")
        future = client.call_async(kind.Request(**fields))
        self.until(future.done, f"an answer of {service}")
        if not future.result().success:
            raise InputError(f"{service} refused: {future.result().message}")
        return future.result().message

    def insist(self, service: str) -> str:
        """Call a service until it agrees: a node that has just begun may not have heard the clock yet."""
        end = time.monotonic() + READY
        while True:
            try:
                return self.ask(service)
            except InputError:
                if time.monotonic() > end:
                    raise
                self._executor.spin_once(timeout_sec=0.1)

    def say(self, text: str) -> None:
        """Publish an instruction."""
        self._instruction.publish(String(data=text))

    def follow(self, task: Task, seconds: float, until_contact: bool) -> bool:
        """Let the robot work until the task is done, it touches something or time is over: is it done?"""
        end, held = self.robot.now + round(seconds * 1e9), 0
        while self.robot.now < end and held < HOLD:
            now = self.robot.now
            self.until(lambda now=now: self.robot.now > now, "the next control step")
            held = held + 1 if task.success(self.robot.world) else 0
            if until_contact and self.robot.world.contact:
                break
        return held >= HOLD

    def close(self) -> None:
        """End all nodes in the regular way."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(READY)
            except subprocess.TimeoutExpired:
                process.kill()
        for log in self._logs:
            log.close()
        self.operator.destroy_node()
        self.robot.destroy_node()
        rclpy.try_shutdown()

    def _told(self, status: DiagnosticStatus) -> None:
        self.heard |= {v.key: v.value for v in status.values}

    def _diagnosed(self, array: DiagnosticArray) -> None:
        for status in array.status:
            self.heard |= {f"{status.name}: {v.key}": v.value for v in status.values}


def perform(stack: Stack, seed: int, console: Console) -> None:
    """Two tasks of one scene: the second instruction comes while the first is at work."""
    rng = np.random.default_rng([seed, 1])
    possible = [t for t in TASKS.values() if t.possible(stack.robot.world)]
    first, second = (possible[i] for i in rng.choice(len(possible), 2, replace=False))
    words = [t.phrasings[rng.integers(len(t.phrasings))] for t in (first, second)]
    stack.until(lambda: "policy_node: inference: provider" in stack.heard, "the policy to be active")
    stack.insist("recorder_node/start")
    for text, task, seconds, on_contact in (
        (words[0], first, CHANGE_AFTER, True),
        (words[1], second, task_seconds(second), False),
    ):
        console.print(f"  [bold]{text}[/]")
        stack.say(text)
        stack.until(lambda text=text: stack.heard.get("serves") == text, "a chunk for the instruction")
        done = stack.follow(task, seconds, on_contact)
        verdict = "done" if done else "interrupted" if on_contact else "not done, gave up"
        console.print(f"    {verdict} ({task.name}, judged by the simulator)")
        stack.ask("recorder_node/mark_success", SetBool, data=done)
    console.print("  " + stack.ask("recorder_node/stop"))
    for key in ("instruction to chunk p50 / p99 ms", "frame to chunk less inference p50 / p99 ms"):
        console.print(f"  {key}: {stack.heard.get(f'policy_node: inference: {key}', 'not told')}")


def task_seconds(task: Task) -> float:
    """How long a task may take [s]."""
    return task.steps / contracts.load("tabletop").rate


def learn(out: Path, console: Console) -> None:
    """A few steps of training on what was just recorded."""
    robot = contracts.load("tabletop")
    for bag in find_bags(out / "bags"):
        for episode in read_episodes(bag, robot):
            console.print(f"  {bag.name}: {len(episode.stamps)} frames, {episode.lost} messages lost")
    command = ["--recipe", "chunk", "--bags", out / "bags", "--out", out / "run", "--samples", TRAIN_SAMPLES]
    if subprocess.run([sys.executable, "-m", "policy.train", *map(str, command)]).returncode:
        raise InputError(f"training on {out / 'bags'} failed; what it says is above")


def main() -> None:
    """Perform, record, learn."""
    parser = argparse.ArgumentParser(prog="python -m ros_nodes.demo", description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, help="the scene of an earlier run")
    parser.add_argument("--model", type=Path, default=Path("models/tabletop"))
    parser.add_argument("--out", type=Path, default=Path("out/demo-ros"))
    args = parser.parse_args()
    headless.require()
    if not (args.model / "policy.onnx").is_file():
        raise InputError(
            f"no policy at {args.model}: expected a folder with policy.onnx; export one with `python -m policy.export`"
        )
    seed = args.seed if args.seed is not None else SystemRandom().randrange(1_000_000, 10_000_000)
    out = args.out / f"{time.strftime('%Y%m%d-%H%M%S')}-{seed}"
    out.mkdir(parents=True)
    if "ROS_DOMAIN_ID" not in os.environ:
        os.environ["ROS_DOMAIN_ID"] = str(claim_domain().id)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"seed {seed} (again: make demo-ros SEED={seed}), domain {os.environ['ROS_DOMAIN_ID']}")
    stack = Stack(args.model, out, seed)
    try:
        perform(stack, seed, console)
    finally:
        stack.close()
    learn(out, console)
    console.print(f"bags, logs and the run: {out}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
