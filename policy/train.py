"""Train a recipe on bags: `python -m policy.train --recipe chunk --bags data/tabletop/demos --out runs/chunk`.

The same command again continues the run. With several processes, each taking its share of every batch:
`torchrun --standalone --nproc_per_node 2 -m policy.train ...`.
"""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from policy import folders
from policy.data import cache as caches
from policy.data.cache import open_cache
from policy.data.findings import Finding
from policy.data.windows import statistics
from policy.errors import InputError, exit_code
from policy.learning import checkpoint, recipe
from policy.learning.batches import Batches, picture_size
from policy.learning.model import Policy
from policy.learning.normalization import identity_statistics
from policy.learning.recipe import Recipe
from policy.learning.trainer import Trainer
from policy.robot import contract
from policy.running.models import find_model
from policy.running.text import Text

PREPARED = 20_000  # frames of the training data at which a head looks before training


def train(
    recipe_name: str,
    bags: Path,
    out: Path,
    contract_name: str = "tabletop",
    samples: int | None = None,
    minutes: float | None = None,
    weights: Path | None = None,
    skip_bad: bool = False,
    compile_model: bool = False,
    keep: Path | None = None,
) -> None:
    """Train until `samples` frames are seen (the recipe's number by default) or `minutes` are spent.

    `weights` is a run, or an exported policy, by path or by name, whose weights are taken over, as far as the recipes
    agree. `keep` are bags of what these weights do already and are not to forget: half of each batch. `skip_bad` leaves
    out bags that cannot be used or would be learned wrongly (policy.check names them). `compile_model` takes a minute
    or two at the beginning and makes each step shorter. `InputError` for bags, weights, recipe or contract that do not
    fit, or an `out` that holds another recipe's run or in which another training is running.
    """
    if (samples is not None and samples < 1) or (minutes is not None and not minutes > 0):
        raise InputError(f"--samples {samples}, --minutes {minutes}: expected a number above 0")
    if keep is not None and weights is None:
        raise InputError(f"--keep {keep} is for weights that are not to forget: give --weights as well")
    folders.require(out)
    weights = _named(weights)
    # Without this, processes on a machine with CPUs only do not find each other.
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    with ExitStack() as claim:
        unclaimed = accelerator.is_main_process
        chosen, robot = recipe.load(recipe_name), contract.load(contract_name)
        _check_shares(chosen, accelerator.num_processes, keep is not None)
        if unclaimed and (out / folders.LOCK).exists():  # else a wrong command leaves nothing
            claim.enter_context(folders.claimed(out))
            unclaimed = False
        found, begun_with = checkpoint.latest(out), None
        if found:
            _check_same(found, checkpoint.describe(chosen, Policy.describe(chosen, robot.spec)))
            _check_begun(found, {"bags": bags, "keep": keep, "weights": weights})
            _check_contract(out / "contract.yaml", robot)
            begun_with = checkpoint.read_state(found).get("weights")
        elif weights is not None:  # refused before the bags are decoded, which may take an hour
            checkpoint.warm_start(Policy(chosen, robot.spec, identity_statistics(robot.spec)), weights)
        failures = "return_to_go" in chosen.encoders
        size = picture_size(chosen)
        cache = open_cache(bags, robot, size, skip_bad=skip_bad, failures=failures, read=Text().read, keep=keep)
        _report(cache.findings, accelerator.is_main_process)
        torch.manual_seed(chosen.training.seed)
        policy, batches = Policy(chosen, robot.spec, statistics(cache)), Batches(cache, chosen)
        if not found:
            prepared = batches.targets(PREPARED)
            policy.prepare(*prepared)
            if weights is not None:  # from here on what normalises targets is that of the weights
                if "head" not in checkpoint.warm_start(policy, weights):
                    policy.prepare(*prepared)
                elif (changed := policy.go_on(*prepared)) and accelerator.is_main_process:
                    print(changed, flush=True)
        folders.make(out)
        if unclaimed:
            claim.enter_context(folders.claimed(out))
            if checkpoint.latest(out) != found:
                raise InputError(
                    f"another training has written to {out} since this one began; give the command again, which goes "
                    "on from there, or give another --out"
                )
        if accelerator.is_main_process:
            _keep_contract(contract.find(contract_name), out / "contract.yaml")
        trainer = Trainer(accelerator, chosen, policy, batches, out, compile_model)
        trainer.record |= {
            "bags": str(bags),
            "keep": str(keep) if keep else None,
            "weights": str(weights) if weights else begun_with,
            "skip_bad": skip_bad,
            "frames": len(cache.state),
            "episodes": len(cache.bounds) - 1,
            "command": f"python -m policy.train --recipe {recipe_name} --bags {bags} --out {out} "
            f"--contract {contract_name}"
            + (f" --samples {samples}" if samples else "")
            + (f" --minutes {minutes:g}" if minutes else "")
            + (f" --weights {weights}" if weights else "")
            + (f" --keep {keep}" if keep else "")
            + (" --skip-bad" if skip_bad else "")
            + (" --compile" if compile_model else ""),
        }
        if found:
            trainer.resume(found)
        trainer.run(samples or chosen.training.samples, minutes)


def _named(weights: Path | None) -> Path | None:
    """The place of weights: a path, or the model of that name where there is no such folder."""
    try:
        return None if weights is None else find_model(weights)
    except InputError:  # no model either: what they are for decides what is said
        return weights


def _check_shares(chosen: Recipe, processes: int, keeps: bool) -> None:
    """`InputError` unless each process gets as many windows of a batch, and what is to be kept half of them."""
    frames = chosen.memory.frames if chosen.memory else 1
    windows, what = chosen.training.batch_size // frames, f"windows of {frames} frames" if frames > 1 else "frames"
    if windows < processes or windows % processes:
        raise InputError(
            f"a batch of {chosen.training.batch_size}, which is {windows} {what}, does not divide among {processes} "
            "processes; change one of them"
        )
    if keeps and windows % 2:
        raise InputError(
            f"a batch of {chosen.training.batch_size} is {windows} {what}, of which half cannot be of --keep; give the "
            "recipe an even number of them"
        )


def _check_contract(path: Path, robot: contract.Contract) -> None:
    """`InputError` if a run was begun with a contract under which bags are read otherwise."""
    if path.exists() and caches.key(contract.load(path), None) != caches.key(robot, None):
        raise InputError(
            f"{path.parent} was begun with another contract, {path}: what its bags say would change on the way; go on "
            "with that one, or give another --out"
        )


def _keep_contract(path: Path, to: Path) -> None:
    part = to.with_name(f".{to.name}.part")
    try:
        part.write_bytes(path.read_bytes())
        part.replace(to)
    except OSError as error:
        raise InputError(f"cannot write {to} ({error.strerror or error}); free space or give another --out") from None


def _report(findings: list[Finding], is_main_process: bool) -> None:
    """Print the findings about the data; `InputError` if one is an error, which the policy would learn."""
    for finding in findings if is_main_process else ():
        print(f"{finding.severity}: {finding}", file=sys.stderr, flush=True)
    if errors := [finding for finding in findings if finding.severity == "error"]:
        raise InputError(
            f"{len(errors)} of the {len(findings)} findings are errors, and would be learned: {errors[0]}; "
            "--skip-bad leaves such bags out"
        )


def _check_same(found: Path, described: dict[str, Any]) -> None:
    """`InputError` if a run's checkpoint has another recipe or spec than the one described."""
    state = checkpoint.read_state(found)
    earlier = recipe.parse(state["recipe"], f"{found}: recipe")  # keys that are newer have their defaults
    state["recipe"] = recipe.dump(earlier)
    for key in ("recipe", "spec"):
        differing = [name for name in described[key] if described[key][name] != state[key].get(name)]
        if differing:
            raise InputError(
                f"{found.parent} holds a run of another {key} (it differs in "
                f"{', '.join(differing)}); give another --out, or the {key} it was begun with"
            )


def _check_begun(found: Path, given: dict[str, Path | None]) -> None:
    """`InputError` if a run was begun with other data or weights; to go on without naming its weights is allowed."""
    state = checkpoint.read_state(found)
    for key, path in given.items():
        if key not in state or (key == "weights" and path is None):  # a run of before this was noted
            continue
        earlier = state[key]
        if (Path(earlier).resolve() if earlier else None) != (path.resolve() if path else None):
            raise InputError(
                f"{found.parent} holds a run with --{key} {earlier or '(none)'}, and --{key} {path or '(none)'} is "
                "given; give another --out, or what it was begun with"
            )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m policy.train", description=__doc__.split("\n")[0])
    parser.add_argument("--recipe", default="chunk", help="a name in policy/recipes, or a YAML file")
    parser.add_argument("--bags", type=Path, required=True, help="folder of rosbag2 recordings or LeRobot data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; continues if it exists")
    parser.add_argument("--contract", default="tabletop", help="a name in policy/contracts, or a YAML file")
    parser.add_argument("--samples", type=int, help="frames to see, of all windows; the recipe's number by default")
    parser.add_argument("--weights", type=Path, help="run, or exported policy by path or name, to begin with")
    parser.add_argument("--keep", type=Path, help="bags of what these weights do already, as half of each batch")
    parser.add_argument("--minutes", type=float, help="time to spend instead; the learning rate is 0 at its end")
    parser.add_argument("--skip-bad", action="store_true", help="leave out, by name, bags that cannot be used")
    parser.add_argument("--compile", action="store_true", help="torch.compile: for trainings of half an hour and more")
    args = parser.parse_args()
    train(
        args.recipe,
        args.bags,
        args.out,
        args.contract,
        args.samples,
        args.minutes,
        args.weights,
        args.skip_bad,
        args.compile,
        args.keep,
    )


if __name__ == "__main__":
    sys.exit(exit_code(main))
