"""Success of the scripted experts on unseen starts, a third of them where another task ended.

python -m benchmarks.experts --episodes 100
"""

import argparse

from tqdm import tqdm

from policy.data.workers import pool as new_pool
from sim.initial_states import start
from sim.kinematics import Kinematics
from sim.success_rate import wilson_interval
from sim.tasks import TASKS, demonstrate
from sim.world import World

SEED = 2_000_000

_world: World | None = None
_kinematics: Kinematics | None = None


def attempt(job: tuple[str, int]) -> tuple[str, bool]:
    """One episode: whether the expert's success held."""
    global _world, _kinematics
    if _world is None:
        _world, _kinematics = World(), Kinematics()
    name, i = job
    start(_world, TASKS[name], SEED + i, "other" if i % 3 == 2 else "home")
    return name, any(demonstrate(_world, TASKS[name], _kinematics))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=100, help="of each task")
    args = parser.parse_args()
    jobs = [(name, i) for name in TASKS for i in range(args.episodes)]
    won = dict.fromkeys(TASKS, 0)
    with new_pool() as pool:
        for name, success in tqdm(pool.map(attempt, jobs, chunksize=10), total=len(jobs), unit="episode"):
            won[name] += success
    for name, k in won.items():
        low, high = wilson_interval(k, args.episodes)
        print(f"{name:20} {k:4} of {args.episodes}   95 % interval {low:.1%} to {high:.1%}")


if __name__ == "__main__":
    main()
