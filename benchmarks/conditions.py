"""Each condition of a policy present, absent and another's: what it is worth.

    python -m benchmarks.conditions --data data/systems --out out/conditions [--only states pictures]

    instruction     a sentence of the task      none (`instruction_present` false)   a sentence of another task
    goal_state      where the expert ends       nothing at all                       where another task's expert ends
    goal_image      how it looks there          nothing at all                       how it looks after another task
    return_to_go    success (1)                 not given                            failure (0)

Two policies learn four tasks, and are asked in scenes that do not show which: `states` in tabletop_states, from
recordings half of which fail (benchmarks.systems_data, `mixed`), and `pictures` on the table with its cameras, from
demonstrations. With a goal no sentence is given; with a return there is one. All of a policy's are asked from the same
starts; results are kept, and the same command continues.
"""

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.sequence import BASE
from benchmarks.study import run_steps
from benchmarks.systems_data import TASKS, make
from policy import folders
from policy.errors import exit_code
from policy.running.conditions import NO_CONDITIONS, Conditions
from policy.running.session import Session
from sim import record
from sim.demonstration import demonstrate
from sim.evaluation_run import fingerprint, play_all
from sim.initial_states import start
from sim.rollout import SimulatedLoop, steps_until_success
from sim.success_rate import success_rate
from sim.worlds import load
from sim.worlds.interface import Task, World

SEED = 1_735_000
STATES = ("present", "absent", "shuffled")
ANY = "(no sentence)"  # what is given where the policy is shown none
OPTIONAL = {"instruction": {"noise": 0.4, "optional": True}}


@dataclass(frozen=True)
class Study:
    """One policy and what it may be given."""

    world: str
    recipe: dict[str, Any]
    samples: int
    conditions: tuple[str, ...]
    bags: Callable[[Path], Path]


def _demonstrations(data: Path) -> Path:
    """Of each task on the table with its cameras."""
    folder = data / "pictures"
    record.main(["--tasks", ",".join(TASKS), "--episodes", "120", "--plain", "--out", str(folder)])
    return folder


STUDIES = {
    "states": Study(
        "tabletop_states",
        {
            "width": 128,
            "encoders": OPTIONAL
            | {"goal_state": {}, "return_to_go": {}, "proprioception": {"noise": 0.02, "group_dropout": 0.0}},
            "mixer": {"name": "transformer", "layers": 2, "heads": 4},
            "head": {"name": "l1"},
            "training": {"batch_size": 256, "learning_rate": 1.0e-3, "warmup_steps": 200, "condition_dropout": 0.3},
        },
        600_000,
        ("instruction", "goal_state", "return_to_go"),
        lambda data: make("mixed", data, 2),
    ),
    "pictures": Study(
        "tabletop",
        BASE
        | {
            "encoders": OPTIONAL | {"goal_image": BASE["encoders"]["cameras"]} | BASE["encoders"] | OPTIONAL,
            "training": {"batch_size": 128, "random_shift": 2, "condition_dropout": 0.3},
        },
        400_000,
        ("instruction", "goal_image"),
        _demonstrations,
    ),
}


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
    end = world.frame()
    start(world, task, seed, "undecided")
    goal = Conditions(goal_state=end.state) if condition == "goal_state" else Conditions(goal_image=end.images)
    return "", goal, True


@dataclass(frozen=True)
class Job:
    """One episode."""

    condition: str
    state: str  # one of STATES
    seed: int


def play(world: World, sessions: tuple[Session, Session], job: Job) -> dict[str, Any]:
    """One episode."""
    seed, rng = job.seed, np.random.default_rng([job.seed, 1])
    task = world.tasks[TASKS[seed % len(TASKS)]]
    start(world, task, seed, "undecided")
    others = [world.tasks[name] for name in TASKS if name != task.name and world.tasks[name].possible(world)]
    other = others[rng.integers(len(others))]
    text, conditions, read = question(world, task, other, job.condition, job.state, seed)
    robot = SimulatedLoop(world, sessions[0] if read else sessions[1], seed=seed)
    robot.loop.instruct(text, world.time_ns, conditions)
    steps = steps_until_success(task, world, robot.step, task.steps)
    return asdict(job) | {"task": task.name, "success": steps is not None}


def evaluate(study: Study, model: Path, episodes: int, out: Path) -> list[dict[str, Any]]:
    """The episodes of each question, of which those that are written already are not played again.

    `InputError` where those in `out` are another policy's, or while another command plays them.
    """
    sessions = Session(model, 1, "cpu"), Wordless(model, 1, "cpu")
    asked = product(study.conditions, STATES, range(SEED, SEED + episodes))
    settings = {"policy": str(model), "sha256": fingerprint(model), "world": study.world}
    with folders.claimed(out), ThreadPoolExecutor(1) as pool:
        world = pool.submit(load(study.world)).result()  # the thread that plays in it also draws it
        return play_all(
            pool,
            partial(play, world, sessions),
            [Job(*one) for one in asked],
            out,
            settings,
            ("condition", "state", "seed"),
        )


def table(study: Study, records: list[dict[str, Any]]) -> list[str]:
    """A row for each condition: success in percent with its interval."""
    lines = []
    for condition in study.conditions:
        rates = [success_rate(r for r in records if (r["condition"], r["state"]) == (condition, s)) for s in STATES]
        cells = [f"{r['rate']:.0%} ({r['low']:.0%} to {r['high']:.0%}) of {r['episodes']}" for r in rates]
        lines.append(f"| {condition} | {' | '.join(cells)} |")
    return lines


def measure(name: str, args: argparse.Namespace) -> list[str]:
    """The rows of one policy."""
    study, out = STUDIES[name], args.out / name
    run, model = out / "run", out / "model"
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipe.yaml").write_text(yaml.safe_dump(study.recipe, sort_keys=False))
    training = ["policy.train", "--recipe", out / "recipe.yaml", "--bags", study.bags(args.data)]
    training += ["--contract", study.world, "--samples", args.samples or study.samples, "--out", run]
    run_steps(f"conditions, {name}", out, [training, ["policy.export", run, "--out", model]], model / "spec.json")
    return table(study, evaluate(study, model, args.episodes, out))


def main() -> None:
    """Record, train, evaluate and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conditions", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the bags, made where they are missing")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--samples", type=int, help="windows of each training; 600,000 and 400,000 by default")
    parser.add_argument("--episodes", type=int, default=200, help="of each condition, present, absent and another's")
    args = parser.parse_args()
    torch.set_num_threads(1)
    lines = ["| condition | " + " | ".join(STATES) + " |", "| --- | --- | --- | --- |"]
    for name in args.only:
        lines += measure(name, args)
        (args.out / "table.md").write_text("\n".join(lines) + "\n")
    print(*lines, sep="\n")


if __name__ == "__main__":
    sys.exit(exit_code(main))
