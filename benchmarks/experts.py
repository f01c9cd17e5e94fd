"""Success of the scripted experts from unseen initial states, those of an evaluation.

python -m benchmarks.experts --episodes 100
"""

import argparse
import sys
from functools import cache

from tqdm import tqdm

from policy.data.workers import pool as new_pool
from policy.errors import InputError, exit_code
from sim.demonstration import demonstrate
from sim.evaluation_jobs import start_of
from sim.initial_states import start
from sim.success_rate import wilson_interval
from sim.worlds import DEFAULT, load
from sim.worlds.interface import World

SEED = 2_000_000


@cache
def made(name: str) -> World:
    """A world, made once in each process."""
    return load(name)()


def attempt(job: tuple[str, str, int]) -> tuple[str, bool]:
    """One episode: whether the expert's success held."""
    world, (_, name, i) = made(job[0]), job
    start(world, world.tasks[name], SEED + i, start_of(name, type(world), i))
    return name, any(demonstrate(world, world.tasks[name]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=100, help="of each task")
    parser.add_argument("--world", default=DEFAULT, help="a name in sim/worlds")
    args = parser.parse_args()
    if args.episodes < 1:
        raise InputError(f"--episodes {args.episodes}: expected a whole number of at least 1")
    tasks = load(args.world).tasks
    jobs = [(args.world, name, i) for name in tasks for i in range(args.episodes)]
    successes = dict.fromkeys(tasks, 0)
    with new_pool() as pool:
        for name, success in tqdm(pool.map(attempt, jobs, chunksize=10), total=len(jobs), unit="episode"):
            successes[name] += success
    for name, k in successes.items():
        low, high = wilson_interval(k, args.episodes)
        print(f"{name:20} {k:4} of {args.episodes}   95 % interval {low:.1%} to {high:.1%}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
