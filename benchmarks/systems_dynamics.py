"""The same weights of MTM as forward and as inverse dynamics, beside persistence and a mask that was not trained.

    python -m benchmarks.systems_dynamics --data data/systems --out out/systems [--seeds 3] [--samples N]

The policies are those of row `mtm` of benchmarks.systems, trained if they are not there. What is asked for are the
states after each quarter of a chunk, from its actions, and the actions from these states, on recordings that no
training has (those of kind `mixed` that succeed). Persistence: all stays as it is.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from benchmarks import systems_data
from benchmarks.systems_rows import rows
from benchmarks.systems_run import Runner
from policy.data.cache import open_cache
from policy.errors import exit_code
from policy.learning import checkpoint, recipe
from policy.learning.batches import Batches
from policy.learning.heads.masked import masked_mean
from policy.learning.heads.masked_trajectory import PARTS, MaskedTrajectoryObjective
from policy.robot import contract

FRAMES, UNSEEN = 4096, "mixed"
MASKS = {"forward dynamics": (True, False), "inverse dynamics": (False, True), "policy": (False, False)}


def errors(run: Path, bags: Path) -> dict[str, dict[str, float]]:
    """Mask -> mean absolute error of `states` and `actions`, in deviations of the training data."""
    policy, state = checkpoint.load(run)
    cache = open_cache(bags, contract.load(run / "contract.yaml"), None)
    batches = Batches(cache, recipe.parse(state["recipe"]))
    batch = batches.gather(np.unique(np.linspace(0, len(cache.state) - 1, FRAMES).astype(int)))
    (objective,) = policy.objectives.values()
    assert isinstance(objective, MaskedTrajectoryObjective)
    with torch.no_grad():
        features, learnt = policy.features(batch).mixed, batch["mask"]
        chunk, states = policy.normalised(batch["actions"], batch), objective.normalised(batch)
        now = ((batch["state"] - objective.mean) / objective.std)[:, None]
        still = policy.normalised(policy.measured(batch)[:, None], batch)
        filled = {"persistence": (still, now)}
        for mask, known in MASKS.items():
            read = torch.tensor(known)[:, None, None].expand(2, len(features), PARTS)
            filled[mask] = objective.filled(features, chunk, states, read, policy)
    return {
        mask: {
            "states": float((then - states).abs().mean()),
            "actions": float(masked_mean((made - chunk).abs().mean(-1), learnt)),
        }
        for mask, (made, then) in filled.items()
    }


def main() -> None:
    """Print the errors of the system and of its control, the mean over the seeds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.systems_dynamics", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the recordings, made if missing")
    parser.add_argument("--out", type=Path, required=True, help="folder of the trainings")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=400_000, help="frames of each training")
    args = parser.parse_args()
    torch.set_num_threads(1)
    row, runner = rows()["mtm"], Runner(args.data, args.out, args.samples, 0)
    bags = systems_data.make(UNSEEN, args.data, 1)
    for name, variant in {"random masks": row.system, row.control_is: row.control}.items():
        found = [errors(runner.trained(variant.training, seed), bags) for seed in range(args.seeds)]
        print(f"| {name} | error of states | of actions |\n| --- | --- | --- |")
        for mask in found[0]:
            means = [sum(f[mask][what] for f in found) / len(found) for what in ("states", "actions")]
            told = MASKS.get(mask, (False, False))[::-1]  # what the mask shows is no answer
            cells = ["given" if known else f"{mean:.3f}" for mean, known in zip(means, told, strict=True)]
            print(f"| {mask} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    sys.exit(exit_code(main))
