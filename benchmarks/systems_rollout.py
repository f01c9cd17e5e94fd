"""Episodes of a policy in closed loop, asked for as a row of the table says."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.systems_data import PLAY
from benchmarks.systems_rows import Asked
from policy.running.conditions import NO_CONDITIONS, Conditions
from policy.running.session import Session
from sim.demonstration import demonstrate
from sim.initial_states import start
from sim.rollout import SimulatedLoop, steps_until_success
from sim.worlds import load
from sim.worlds.interface import Task, World

SEED, NOISE = 1_730_000, 1_000_000
TRIES = 6  # from one layout, to see in which ways a policy does a task
Question = tuple[str, Conditions]


def _words(world: World, task: Task, asked: Asked, seed: int, rng: np.random.Generator) -> Question:
    return str(rng.choice(task.phrasings)), NO_CONDITIONS


def _shuffled(world: World, task: Task, asked: Asked, seed: int, rng: np.random.Generator) -> Question:
    other = world.every_task()[str(rng.choice([name for name in asked.tasks if name != task.name]))]
    return _words(world, other, asked, seed, rng)


def _goal(world: World, task: Task, asked: Asked, seed: int, rng: np.random.Generator) -> Question:
    """The state in which the expert leaves the same layout."""
    for done in demonstrate(world, task):
        if done:
            break
    goal = world.state()
    start(world, task, seed, asked.start)
    return "", Conditions(goal_state=goal)


def _no_goal(world: World, task: Task, asked: Asked, seed: int, rng: np.random.Generator) -> Question:
    return PLAY, NO_CONDITIONS


def _high_return(world: World, task: Task, asked: Asked, seed: int, rng: np.random.Generator) -> Question:
    return _words(world, task, asked, seed, rng)[0], Conditions(return_to_go=1.0)


def _no_return(world: World, task: Task, asked: Asked, seed: int, rng: np.random.Generator) -> Question:
    return _words(world, task, asked, seed, rng)[0], Conditions(return_to_go=0.0)


ASKING: dict[str, Callable[[World, Task, Asked, int, np.random.Generator], Question]] = {
    "words": _words,
    "every_way": _words,
    "shuffled": _shuffled,
    "goal": _goal,
    "no_goal": _no_goal,
    "high_return": _high_return,
    "no_return": _no_return,
}


class Forgetful(Session):
    """A session whose policy finds its state zero at each step."""

    def run(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `Session.run`."""
        return super().run({n: np.zeros_like(v) if n.startswith("state_") else v for n, v in feed.items()})


def evaluate(model: str, world_name: str, asked: Asked, episodes: int, seed: int) -> list[dict[str, Any]]:
    """A record of each episode, or of each layout where several tries are made from it; `seed` changes the layouts."""
    world = load(world_name)()
    session = (Forgetful if asked.forgets else Session)(model, threads=1, provider="cpu")
    first, tasks = SEED + 1000 * seed, asked.tasks
    if asked.how != "every_way":
        return [play(world, session, asked, first + i, tasks[i % len(tasks)]) for i in range(episodes)]
    layouts = range(max(1, episodes // TRIES))
    return [
        every_way([play(world, session, asked, first + i, tasks[i % len(tasks)], draw) for draw in range(TRIES)])
        for i in layouts
    ]


def every_way(tries: list[dict[str, Any]]) -> dict[str, Any]:
    """The record of a layout, which counts where its task was done in more than one way."""
    ways = {record["outcome"] for record in tries if record["success"]}
    same = {key: tries[0][key] for key in ("task", "seed")}
    return same | {"success": len(ways) > 1, "outcome": "+".join(sorted(ways)), "tries": tries}


def play(world: World, session: Session, asked: Asked, seed: int, name: str, draw: int = 0) -> dict[str, Any]:
    """One episode; `draw` changes the policy's noise and nothing else."""
    task, rng = world.every_task()[name], np.random.default_rng([seed, 1])
    kind = asked.start if asked.start != "undecided" or task.opposite else "home"
    start(world, task, seed, kind)
    text, conditions = ASKING[asked.how](world, task, asked, seed, rng)
    robot, before = SimulatedLoop(world, session, seed=seed + NOISE * draw), task.first(world)
    if before is not None:
        robot.perform(str(rng.choice(before.phrasings)), before)
    robot.loop.instruct(text, world.time_ns, conditions)
    steps = steps_until_success(task, world, robot.step, task.steps)
    return {"task": name, "seed": seed, "success": steps is not None, "steps": steps, "outcome": task.outcome(world)}
