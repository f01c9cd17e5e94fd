"""What happens in an episode with a switch: its layout, tasks, instructions and the control steps of its switches."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np

from sim.initial_states import start
from sim.switch_evaluation.counterfactual import AFTER, EARLIEST, Counterfactual
from sim.worlds.interface import RATE, Task, World

TOGETHER = 2 * RATE  # control steps within which three switches come
BACK = (RATE // 4, RATE)  # control steps after which the first instruction is given again


@dataclass(frozen=True, slots=True)
class Scenario:
    """The instructions of one episode: `instructions[i]` asks for `tasks[i]`."""

    seed: int  # of the layout
    tasks: tuple[Task, ...]
    instructions: tuple[str, ...]
    rng: np.random.Generator  # for what is drawn later


def draw_scenario(
    run: str, pair: tuple[str, str], seed: int, world: World, names: Sequence[str], left_out: Set[str] = frozenset()
) -> Scenario | None:
    """Reset the world to layout `seed` and draw tasks and instructions; None where the layout does not allow them.

    `names` are the tasks that may be asked for, `left_out` phrasings in which they are not.
    """
    rng, (a, b) = np.random.default_rng([seed, 1]), (world.tasks[name] for name in pair)
    start(world, a, seed, "home")
    tasks = _tasks(run, a, b, world, rng, names)
    if tasks is None:
        return None
    again = np.random.default_rng([seed, 4])
    instructions = [_draw(rng, task.phrasings, again, left_out) for task in tasks]
    if run == "false_switch":
        others = [text for text in (*a.phrasings, *a.reworded) if text != instructions[0]]
        if left_out >= set(others):
            return None
        instructions[1] = _draw(rng, others, again, left_out)
    if run == "switch_back":
        instructions[2] = instructions[0]
    return Scenario(seed, tasks, tuple(instructions), rng)


def can_switch(run: str, scenario: Scenario, world: World) -> bool:
    """Whether the next instruction can be given now: B is not done yet; in a late switch it must be possible."""
    a, b = scenario.tasks[:2]
    if run == "late":
        return b.possible(world)
    return not b.success(world) and not (run == "switch_back" and a.success(world))


def draw_switch_steps(run: str, scenario: Scenario, counterfactual: Counterfactual) -> tuple[int, ...]:
    """The control steps before each switch, uniform within what the run allows; empty where nothing is allowed."""
    rng = scenario.rng
    if run in ("false_switch", "three_switches"):
        allowed = np.arange(EARLIEST, counterfactual.success_began or len(counterfactual.setpoints) - AFTER)
    else:
        allowed = counterfactual.switch_steps("mid" if run == "switch_back" else run)
    if not len(allowed):
        return ()
    first = int(rng.choice(allowed))
    later = {
        "three_switches": 1 + np.sort(rng.permutation(TOGETHER)[:2]),
        "switch_back": rng.integers(BACK[0], BACK[1], 1, endpoint=True),
    }.get(run, np.empty(0, int))
    return first, *(first + int(step) for step in later)


def _tasks(
    run: str, a: Task, b: Task, world: World, rng: np.random.Generator, names: Sequence[str]
) -> tuple[Task, ...] | None:
    """The tasks in their order; None where one of them is not possible in this layout."""
    if run == "false_switch":
        return a, a
    if run != "late" and not b.possible(world):
        return None
    if run != "three_switches":
        return (a, b, a) if run == "switch_back" else (a, b)
    others = [world.tasks[name] for name in names]
    others = [task for task in others if task not in (a, b) and task.possible(world)]
    return (a, b, *(others[i] for i in rng.permutation(len(others))[:2])) if len(others) > 1 else None


def _draw(rng: np.random.Generator, phrasings: Sequence[str], again: np.random.Generator, left_out: Set[str]) -> str:
    """One of all, so that what else is drawn does not depend on the policy; where it is left out, one of the others."""
    drawn = phrasings[int(rng.integers(len(phrasings)))]
    if drawn not in left_out:
        return drawn
    others = [text for text in phrasings if text not in left_out]
    return others[int(again.integers(len(others)))]
