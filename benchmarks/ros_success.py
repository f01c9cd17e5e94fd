"""Closed-loop success through ROS, against the same policy driven in-process from the same seeds.

    python benchmarks/ros_success.py models/tabletop                  12 tasks, 10 episodes each, both ways
    python benchmarks/ros_success.py models/tabletop --episodes 1

Through ROS: simulated robot, safety node and policy node in three processes, in real
time. The two take turns.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import rclpy
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import String
from std_srvs.srv import Trigger
from tqdm import tqdm

from benchmarks import ros_common as common
from policy.errors import exit_code
from policy.running.models import find_model
from policy.running.session import Session
from ros_nodes import bridge
from ros_nodes.sim_node import SimNode
from sim.initial_states import start
from sim.rollout import SimulatedLoop
from sim.taught_tasks import asked
from sim.worlds import DEFAULT, load
from sim.worlds.interface import Task

SEED = 1_000_000


class Judge(SimNode):
    """The simulated robot, which counts for how many steps a task has been done."""

    def __init__(self) -> None:
        super().__init__()
        self.task: Task | None = None
        self.steps = self.held = 0

    def tick(self) -> None:
        super().tick()
        if self.task is not None:
            self.steps += 1
            self.held = self.held + 1 if self.task.success(self.world) else 0

    def begin(self, task: Task | None) -> None:
        """Count for this task from now on."""
        self.task, self.steps, self.held = task, 0, 0


class Stack:
    """The three nodes and an operator."""

    def __init__(self, model: Path) -> None:
        rclpy.init()
        self.robot, self.executor = Judge(), SingleThreadedExecutor()
        self.executor.add_node(self.robot)
        self._operator = self.robot.create_publisher(String, "instruction", bridge.LATCHED)
        self._nodes: list[subprocess.Popen[bytes]] = [
            common.start("ros_nodes.policy_node", model=model, autostart=True, use_sim_time=True, sensor_timeout=0.5),
            common.start("ros_nodes.safety_node", use_sim_time=True, command_timeout=0.5, state_timeout=0.5),
        ]

    def perform(self, task: Task, seed: int) -> bool:
        """One episode: a new layout, one instruction."""
        self.robot.begin(None)
        self._call("safety_node/stop")
        self._call("policy_node/reset")
        start(self.robot.world, task, seed, "home")
        self.robot.hold()
        self._call("safety_node/reset")
        self._operator.publish(String(data=task.phrasings[0]))
        self.robot.begin(task)
        while self.robot.steps < task.steps and self.robot.held < self.robot.world.success_steps:
            self.executor.spin_once(timeout_sec=0.05)
        return self.robot.held >= self.robot.world.success_steps

    def close(self) -> None:
        """End the nodes."""
        for node in self._nodes:
            common.stop(node)
        self.robot.destroy_node()
        rclpy.shutdown()

    def _call(self, name: str) -> None:
        client: Any = self.robot.create_client(Trigger, name)
        while not client.service_is_ready():
            self.executor.spin_once(timeout_sec=0.05)
        future = client.call_async(Trigger.Request())
        self.executor.spin_until_future_complete(future)
        self.robot.destroy_client(client)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="models/tabletop")
    parser.add_argument("--episodes", type=int, default=10, help="of each task")
    args = parser.parse_args()
    common.settle()
    world, session = load(DEFAULT)(), Session(args.model)
    stack = Stack(find_model(args.model).resolve())
    rows: list[tuple[str, bool, bool]] = []  # task, success in-process, success through ROS
    try:
        names = asked(world.tasks, session)
        jobs = [(world.tasks[name], SEED + i) for i in range(args.episodes) for name in names]
        for task, seed in tqdm(jobs, unit="episode"):
            start(world, task, seed, "home")
            in_process = SimulatedLoop(world, session, seed=seed).perform(task.phrasings[0], task).success
            rows.append((task.name, in_process, stack.perform(task, seed)))
    finally:
        stack.close()
    for name in names:
        episodes = [row for row in rows if row[0] == name]
        print(
            f"  {name:24} in-process {sum(row[1] for row in episodes):3} of {len(episodes)}, "
            f"through ROS {sum(row[2] for row in episodes):3}"
        )
    ours, ros = (100 * sum(bool(row[i]) for row in rows) / len(rows) for i in (1, 2))
    print(
        f"all: in-process {ours:.1f} %, through ROS {ros:.1f} %, difference {ros - ours:+.1f} points "
        f"({len(rows)} paired episodes)"
    )


if __name__ == "__main__":
    sys.exit(exit_code(main))
