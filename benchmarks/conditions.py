"""Each condition of one policy present, absent and another's: what it is worth.

    python -m benchmarks.conditions --data data/systems --out out/conditions

    instruction     a sentence of the task      none (`instruction_present` false)   a sentence of another task
    goal_state      where the expert ends       nothing at all                       where another task's expert ends
    return_to_go    success (1)                 not given                            failure (0)

In the world tabletop_states: four tasks from scenes that do not show which is asked for, learnt from recordings half of
which fail (benchmarks.systems_data, `mixed`). With a goal no sentence is given; with a return there is one. All three
are asked from the same starts; results are kept, and the same command continues.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.study import run_steps
from benchmarks.systems_data import TASKS, WORLD, make
from policy.errors import exit_code
from policy.running.conditions import NO_CONDITIONS, Conditions
from policy.running.session import Session
from sim.demonstration import demonstrate
from sim.initial_states import start
from sim.rollout import SimulatedLoop, steps_until_success
from sim.success_rate import success_rate
from sim.worlds import load
from sim.worlds.interface import Task, World

SEED = 1_735_000
RECIPE: dict[str, Any] = {
    "width": 128,
    "encoders": {
        "instruction": {"noise": 0.4, "optional": True},
        "goal_state": {},
        "return_to_go": {},
        "proprioception": {"noise": 0.02, "group_dropout": 0.0},
    },
    "mixer": {"name": "transformer", "layers": 2, "heads": 4},
    "head": {"name": "l1"},
    "training": {"batch_size": 256, "learning_rate": 1.0e-3, "warmup_steps": 200, "condition_dropout": 0.3},
}
CONDITIONS, STATES = ("instruction", "goal_state", "return_to_go"), ("present", "absent", "shuffled")
ANY = "(no sentence)"  # what is given where the policy is shown none


class Wordless(Session):
    """A session whose policy is shown no instruction."""

    def run(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `Session.run`."""
        return super().run(feed | {"instruction_present": np.zeros_like(feed["instruction_present"])})


def question(
    world: World, task: Task, other: Task, condition: str, state: str, seed: int
) -> tuple[str, Conditions, bool]:
    """A sentence, the conditions beside it, and whether the policy reads the sentence."""
    asked = other if state == "shuffled" else task
    if condition == "instruction":
        return asked.phrasings[0], NO_CONDITIONS, state != "absent"
    if condition == "return_to_go":
        value = {"present": 1.0, "absent": None, "shuffled": 0.0}[state]
        return task.phrasings[0], Conditions(return_to_go=value), True
    if state == "absent":
        return ANY, NO_CONDITIONS, False
    for done in demonstrate(world, asked):
        if done:
            break
    goal = world.state()
    start(world, task, seed, "undecided")
    return "", Conditions(goal_state=goal), True


def play(world: World, sessions: tuple[Session, Session], condition: str, state: str, seed: int) -> dict[str, Any]:
    """One episode."""
    rng = np.random.default_rng([seed, 1])
    task = world.tasks[TASKS[seed % len(TASKS)]]
    start(world, task, seed, "undecided")
    others = [world.tasks[name] for name in TASKS if name != task.name and world.tasks[name].possible(world)]
    other = others[rng.integers(len(others))]
    text, conditions, read = question(world, task, other, condition, state, seed)
    robot = SimulatedLoop(world, sessions[0] if read else sessions[1], seed=seed)
    robot.loop.instruct(text, world.time_ns, conditions)
    steps = steps_until_success(task, world, robot.step, task.steps)
    return {"condition": condition, "state": state, "seed": seed, "task": task.name, "success": steps is not None}


def evaluate(model: Path, episodes: int, out: Path) -> list[dict[str, Any]]:
    """All episodes, of which those that are written already are not played again."""
    world, sessions = load(WORLD)(), (Session(model, 1, "cpu"), Wordless(model, 1, "cpu"))
    path = out / "episodes.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(r["condition"], r["state"], r["seed"]) for r in records}
    with path.open("a") as file:
        for condition in CONDITIONS:
            for state in STATES:
                for seed in range(SEED, SEED + episodes):
                    if (condition, state, seed) not in done:
                        records.append(play(world, sessions, condition, state, seed))
                        print(json.dumps(records[-1]), file=file, flush=True)
    return records


def table(records: list[dict[str, Any]]) -> list[str]:
    """A row for each condition: success in percent with its interval."""
    lines = ["| condition | " + " | ".join(STATES) + " |", "| --- | --- | --- | --- |"]
    for condition in CONDITIONS:
        rates = [success_rate(r for r in records if (r["condition"], r["state"]) == (condition, s)) for s in STATES]
        cells = [f"{r['rate']:.0%} ({r['low']:.0%} to {r['high']:.0%}) of {r['episodes']}" for r in rates]
        lines.append(f"| {condition} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Record, train, evaluate and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conditions", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the bags, made where they are missing")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=600_000, help="windows of the training")
    parser.add_argument("--episodes", type=int, default=200, help="of each condition, present, absent and another's")
    args = parser.parse_args()
    torch.set_num_threads(1)
    bags, run, model = make("mixed", args.data, 2), args.out / "run", args.out / "model"
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "recipe.yaml").write_text(yaml.safe_dump(RECIPE, sort_keys=False))
    training = ["policy.train", "--recipe", args.out / "recipe.yaml", "--bags", bags, "--contract", WORLD]
    training += ["--samples", args.samples, "--out", run]
    run_steps("conditions", args.out, [training, ["policy.export", run, "--out", model]], model / "spec.json")
    lines = table(evaluate(model, args.episodes, args.out))
    (args.out / "table.md").write_text("\n".join(lines) + "\n")
    print(*lines, sep="\n")


if __name__ == "__main__":
    sys.exit(exit_code(main))
