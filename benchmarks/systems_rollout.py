"""Episodes of a policy in closed loop, asked for as a row of the table says."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.systems_data import PLAY, WORLD
from benchmarks.systems_rows import Asked
from policy.running.conditions import NO_CONDITIONS, Conditions
from policy.running.session import Session
from sim.demonstration import demonstrate
from sim.initial_states import start
from sim.rollout import SimulatedLoop, steps_until_success
from sim.worlds import load
from sim.worlds.interface import Task, World

SEED = 1_730_000
Question = tuple[str, Conditions]


def _words(world: World, task: Task, asked: Asked, seed: int, rng: np.random.Generator) -> Question:
    return str(rng.choice(task.phrasings)), NO_CONDITIONS


def _shuffled(world: World, task: Task, asked: Asked, seed: int, rng: np.random.Generator) -> Question:
    other = world.every_task()[str(rng.choice(asked.tasks))]
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


def evaluate(model: str, asked: Asked, episodes: int, seed: int) -> list[dict[str, Any]]:
    """A record of each episode; `seed` is added to the first seed of evaluations."""
    world = load(WORLD)()
    session = (Forgetful if asked.forgets else Session)(model, threads=1, provider="cpu")
    first, tasks = SEED + 1000 * seed, asked.tasks
    return [play(world, session, asked, first + i, tasks[i % len(tasks)]) for i in range(episodes)]


def play(world: World, session: Session, asked: Asked, seed: int, name: str) -> dict[str, Any]:
    """One episode."""
    task, rng = world.every_task()[name], np.random.default_rng([seed, 1])
    kind = asked.start if asked.start != "undecided" or task.opposite else "home"
    start(world, task, seed, kind)
    text, conditions = ASKING[asked.how](world, task, asked, seed, rng)
    robot, before = SimulatedLoop(world, session, seed=seed), task.first(world)
    if before is not None:
        robot.perform(str(rng.choice(before.phrasings)), before)
    robot.loop.instruct(text, world.time_ns, conditions)
    steps = steps_until_success(task, world, robot.step, task.steps)
    return {"task": name, "seed": seed, "success": steps is not None, "steps": steps, "outcome": task.outcome(world)}
