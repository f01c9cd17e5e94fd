"""The episodes of a switch evaluation: each is a job with its own seed, which can be run again alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

PHASES = ("early", "mid", "late")  # where in A the instruction changes to B's
OTHER_RUNS = ("false_switch", "three_switches", "switch_back")  # half as many episodes as a phase
SPARE_PAIRS = 3  # pairs that replace, one after the other, a pair that no layout allows


@dataclass(frozen=True, slots=True)
class SwitchJob:
    """One episode with a switch; every method gets the same layout and instructions from the same seed."""

    method: str  # one of METHODS
    run: str  # one of PHASES or OTHER_RUNS
    seed: int
    pairs: tuple[tuple[str, str], ...]  # A and B, then the pairs that replace them
    tasks: tuple[str, ...]  # all that may be asked for


def plan(
    tasks: Iterable[str], phases: Sequence[str], pairs: int | None, episodes: int, seed: int, methods: Sequence[str]
) -> list[SwitchJob]:
    """All jobs over `pairs` ordered pairs of tasks (None: all): `episodes` of each phase, half of each other run."""
    tasks = tuple(tasks)
    allowed = set(ordered_pairs(tasks, np.random.default_rng([seed, 2]))[:pairs])
    counts = {phase: episodes for phase in phases}
    counts |= {run: max(1, episodes // 2) for run in OTHER_RUNS}
    jobs: list[SwitchJob] = []
    for run, n in counts.items():
        rng = np.random.default_rng([seed, 3, [*PHASES, *OTHER_RUNS].index(run)])
        order = [pair for pair in ordered_pairs(tasks, rng) if pair in allowed]
        for i in range(n):
            spare = tuple(order[k] for k in rng.integers(len(order), size=SPARE_PAIRS))
            jobs += [SwitchJob(method, run, seed, (order[i % len(order)], *spare), tasks) for method in methods]
            seed += 1
    return jobs


def ordered_pairs(tasks: Iterable[str], rng: np.random.Generator) -> list[tuple[str, str]]:
    """All ordered pairs of tasks, in rounds; in each round every task is on both sides once."""
    names = [str(name) for name in rng.permutation(list(tasks))]
    return [
        (name, names[(i + k) % len(names)])
        for k in rng.permutation(np.arange(1, len(names)))
        for i, name in enumerate(names)
    ]
