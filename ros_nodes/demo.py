"""`make demo-ros`: the whole stack over DDS on this machine, with no ROS install.

The instruction is changed mid-execution, both episodes are recorded, and that recording is trained on.

    this process            processes
    operator + sim_node     policy_node -> safety_node -> (the arm)     recorder_node -> bags -> policy.train
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from random import SystemRandom

import numpy as np
from rich.console import Console
from std_srvs.srv import SetBool

from policy.data.bag_files import find_bags
from policy.data.episodes import read_episodes
from policy.errors import InputError, exit_code
from policy.robot import contract as contracts
from policy.running.models import find_model
from ros_nodes.demo_stack import Stack
from ros_nodes.domain import claim_domain
from sim import headless
from sim.worlds.interface import RATE, Task

CHANGE_AFTER = 4.0  # s of the robot's clock on the first instruction, unless it touches something before
TRAIN_SAMPLES = 640  # five steps


def perform(stack: Stack, seed: int, console: Console) -> None:
    """Two tasks of one scene: the second instruction comes while the first is at work."""
    rng = np.random.default_rng([seed, 1])
    possible = [t for t in stack.robot.world.tasks.values() if t.possible(stack.robot.world)]
    first, second = (possible[i] for i in rng.choice(len(possible), 2, replace=False))
    texts = [t.phrasings[0] for t in (first, second)]  # which every policy of these tasks was taught
    stack.until(lambda: "policy_node: inference: provider" in stack.values, "the policy to be active")
    stack.call_until_accepted("recorder_node/start")
    for text, task, seconds, on_contact in (
        (texts[0], first, CHANGE_AFTER, True),
        (texts[1], second, task_seconds(second), False),
    ):
        console.print(f"  [bold]{text}[/]")
        stack.instruct(text)
        done = stack.follow(task, seconds, on_contact)
        verdict = "done" if done else "interrupted" if on_contact else "not done, gave up"
        console.print(f"    {verdict} ({task.name}, judged by the simulator)")
        if done:  # the others stay unmarked: the demo trains on them, too, where training leaves failures out
            stack.call("recorder_node/mark_success", SetBool, data=True)
    console.print("  " + stack.call("recorder_node/stop"))
    for key in ("instruction to chunk p50 / p99 ms", "frame to chunk less inference p50 / p99 ms"):
        console.print(f"  {key}: {stack.values.get(f'policy_node: inference: {key}', 'not reported')}")


def task_seconds(task: Task) -> float:
    """How long a task may take [s]."""
    return task.steps / RATE


def learn(out: Path, console: Console) -> None:
    """A few steps of training on what was just recorded."""
    robot = contracts.load("tabletop")
    for bag in find_bags(out / "bags"):
        for episode in read_episodes(bag, robot):
            console.print(f"  {bag.name}: {len(episode.stamps)} frames, {episode.dropped} messages dropped")
    command = ["--recipe", "chunk", "--bags", out / "bags", "--out", out / "run", "--samples", TRAIN_SAMPLES]
    if subprocess.run([sys.executable, "-m", "policy.train", *map(str, command)]).returncode:
        raise InputError(f"training on {out / 'bags'} failed; its output is above")


def main() -> None:
    """Run two instructions, record them, train on the recording."""
    parser = argparse.ArgumentParser(prog="python -m ros_nodes.demo", description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, help="the scene of an earlier run")
    parser.add_argument(
        "--model", default="tabletop", help="folder of the exported policy, or the name of a shipped one"
    )
    parser.add_argument("--out", type=Path, default=Path("out/demo-ros"))
    args = parser.parse_args()
    headless.require()
    model = find_model(args.model)
    seed = args.seed if args.seed is not None else SystemRandom().randrange(1_000_000, 10_000_000)
    out = args.out / f"{time.strftime('%Y%m%d-%H%M%S')}-{seed}"
    out.mkdir(parents=True)
    if "ROS_DOMAIN_ID" not in os.environ:
        os.environ["ROS_DOMAIN_ID"] = str(claim_domain().id)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"seed {seed} (again: make demo-ros SEED={seed}), domain {os.environ['ROS_DOMAIN_ID']}")
    stack = Stack(model, out, seed)
    try:
        perform(stack, seed, console)
    finally:
        stack.close()
    learn(out, console)
    console.print(f"bags, logs and the run: {out}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
