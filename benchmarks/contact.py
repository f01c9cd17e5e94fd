"""Contact estimated from gripper and efforts (policy.robot.contact), measured against the simulator's label, by task.

    python -m benchmarks.contact data/tabletop/demos --episodes 5

Precision and recall of the steps in contact, short gaps filled as in training; the error of each estimated onset; and
false contacts, those estimated where no labelled one is near.
"""

import argparse
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from policy.data.bag_files import find_bags
from policy.data.episodes import read_episodes
from policy.errors import exit_code
from policy.robot import contract as contracts
from policy.spec import Episode
from policy.switching.demonstration import fill_gaps

NEAR = 10  # steps: an estimated contact further from every labelled one is false


def onsets(contact: np.ndarray) -> np.ndarray:
    """The steps in which a contact begins."""
    return np.flatnonzero(contact & ~np.concatenate([[False], contact[:-1]]))


def compare(labelled: Episode, estimated: Episode) -> tuple[np.ndarray, list[int], int, int]:
    """Steps (hit, false, missed), errors of the onsets that were found, labelled contacts, false contacts."""
    assert labelled.contact is not None and estimated.contact is not None
    truth, guess = fill_gaps(labelled.contact), fill_gaps(estimated.contact)
    steps = np.array([(truth & guess).sum(), (~truth & guess).sum(), (truth & ~guess).sum()])
    real, found = onsets(truth), onsets(guess)
    errors = [int(found[np.abs(found - one).argmin()] - one) for one in real if len(found)]
    touched = np.flatnonzero(truth)
    false = sum(not len(touched) or int(np.abs(touched - one).min()) > NEAR for one in found)
    return steps, [e for e in errors if abs(e) <= NEAR], len(real), false


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bags", type=Path, help="folder of bags with the label of contact")
    parser.add_argument("--episodes", type=int, default=5, help="bags of each task, evenly spread")
    parser.add_argument("--contract", default="tabletop")
    args = parser.parse_args()
    labelled_contract = contracts.load(args.contract)
    unlabelled_contract = replace(labelled_contract, labels=replace(labelled_contract.labels, contact=None))
    kinds: dict[str, list[Path]] = defaultdict(list)
    for bag in find_bags(args.bags):
        kinds[bag.name.rsplit("_", 1)[0]].append(bag)
    steps: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(3, int))
    errors: dict[str, list[int]] = defaultdict(list)
    real, false = Counter[str](), Counter[str]()
    chosen = [
        (kind, bags[i])
        for kind, bags in kinds.items()
        for i in np.unique(np.linspace(0, len(bags) - 1, args.episodes).astype(int))
    ]
    for kind, bag in tqdm(chosen, unit="bag"):
        for labelled, estimated in zip(
            read_episodes(bag, labelled_contract), read_episodes(bag, unlabelled_contract), strict=True
        ):
            counted, found, many, extra = compare(labelled, estimated)
            steps[kind] += counted
            errors[kind] += found
            real[kind] += many
            false[kind] += extra
    print(f"{'':20} precision  recall   onset error, steps    contacts")
    for kind in [*kinds, "all"]:
        of = list(kinds) if kind == "all" else [kind]
        hit, wrong, missed = np.sum([steps[name] for name in of], axis=0)
        off = np.abs(np.array([float(e) for name in of for e in errors[name]] or [np.nan]))
        print(
            f"{kind:20}    {hit / max(hit + wrong, 1):6.1%}  {hit / max(hit + missed, 1):6.1%}   "
            f"median {np.median(off):3.0f}, 90 % {np.quantile(off, 0.9):3.0f}    {np.isfinite(off).sum()} of "
            f"{sum(real[name] for name in of)} found, {sum(false[name] for name in of)} false"
        )


if __name__ == "__main__":
    sys.exit(exit_code(main))
