"""models/tabletop from nothing to its card: recordings, switches, two trainings, every evaluation.

    python -m benchmarks.flagship --data data/flagship --out out/flagship

Stop it at any time: the same command goes on where it stopped. `plain` is the policy that the baselines drive; it
learns from the demonstrations alone, with the same budget. Evaluation seeds from 2,000,000 on are used here and nowhere
else.

    demonstrations ------------> plain ----+
          |                                +--> evaluations --> card
          +--> switches -------> policy ---+
"""

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from policy.errors import InputError, exit_code

PRECISE = ("stack_red_on_blue", "stack_blue_on_red", "lamp_on")  # a centimetre beside it is a failure
SEED = 2_000_000
APART = 100_000  # between the seeds of two evaluations


class Step(NamedTuple):
    """One command; what it makes, where making it again would be refused or cost time."""

    name: str
    arguments: Sequence[Any]
    makes: Path | None = None
    processes: int = 1  # more: by torchrun


def steps(args: argparse.Namespace) -> Iterator[Step]:
    """Everything, in order; each command is resumable by itself."""
    demos, switches, out = args.data / "demos", args.data / "switches", args.out
    policy, plain = out / "policy", out / "plain"
    yield Step("record", ["sim.record", "--tasks", "all", "--episodes", args.recordings, "--out", demos])
    precise = ["sim.record", "--tasks", ",".join(PRECISE), "--episodes", args.precise, "--out", demos]
    yield Step("record precise tasks", precise)
    yield Step("switches", ["sim.switches", demos, "--out", switches])
    for name, recipe, bags in (("plain", "chunk", demos), ("policy", args.recipe, args.data)):
        run, begun_with = out / f"run_{name}", tuple[Any, ...]()
        for leg, samples in {"train": args.samples, "finish": args.finish}.items():
            training = ["policy.train", "--recipe", recipe, "--bags", bags, "--samples", samples, "--out", run]
            yield Step(f"{leg} {name}", [*training, *begun_with, "--compile"], processes=args.processes)
            begun_with, last, run = ("--weights", run), run, out / f"run_{name}_finish"
        yield Step(f"export {name}", ["policy.export", last, "--out", out / name], out / name / "policy.onnx")
    reports = []
    for i, (name, options) in enumerate(evaluations(args.episodes, plain).items()):
        folder = out / name
        seed = SEED + i * APART
        yield Step(name, ["sim.evaluate", policy, *options, "--seed", seed, "--out", folder], folder / "report.json")
        reports.append(folder / "report.json")
    card = ["policy.export", out / "run_policy_finish", "--out", out / "model", "--report", reports[0], reports[1]]
    yield Step("card", card, out / "model" / "policy.onnx")


def evaluations(episodes: int, plain: Path) -> dict[str, list[Any]]:
    """The options of each, by the name of its folder; `episodes` of each task, four times as many of a phase."""
    few = max(1, episodes // 10)
    return {
        "eval": ["--episodes", episodes],
        "switch": ["--switch", "early,mid,late", "--pairs", "all", "--episodes", 4 * episodes, "--baseline", plain],
        "words": ["--words", "all", "--episodes", episodes, "--films", 0],
        "shift": ["--shift", "all", "--episodes", few, "--films", 0],
        "latency": ["--latency-ms", "0,50,100,200,400", "--schedule", "all", "--episodes", few, "--films", 0],
    }


def run(step: Step) -> None:
    """Run a step, unless what it makes is there."""
    if step.makes is not None and step.makes.exists():
        print(f"{step.name}: done already", flush=True)
        return
    module, *arguments = map(str, step.arguments)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(step.processes), "-m", module]
    command = [sys.executable, *(launcher if step.processes > 1 else ["-m", module]), *arguments]
    print(f"{step.name}: {shlex.join(command[1:])}", flush=True)
    began = time.monotonic()
    if subprocess.run(command).returncode:
        raise InputError(f"{step.name} failed; correct what it says, and give the same command again to go on")
    print(f"{step.name}: {(time.monotonic() - began) / 60:.0f} minutes", flush=True)


def main() -> None:
    """Run every step that is not done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flagship", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the bags")
    parser.add_argument("--out", type=Path, required=True, help="folder of runs, models and reports")
    parser.add_argument("--recipe", default="sequence", help="a name in policy/recipes, or a YAML file")
    parser.add_argument("--recordings", type=int, default=160, help="of each task")
    parser.add_argument("--precise", type=int, default=400, help="of tasks where a centimetre decides")
    parser.add_argument("--samples", type=int, default=3_000_000, help="windows of each training")
    parser.add_argument(
        "--finish",
        type=int,
        default=1_500_000,
        help="windows of its second part, which begins with the weights of the first",
    )
    parser.add_argument("--episodes", type=int, default=100, help="of each task")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="of a training")
    parser.add_argument("--until", default="", help="stop after this step, such as switches or train plain")
    args = parser.parse_args()
    everything = list(steps(args))
    names = [step.name for step in everything]
    if args.until and args.until not in names:
        raise InputError(f"--until {args.until}: expected one of {', '.join(names)}")
    for step in everything[: names.index(args.until) + 1] if args.until else everything:
        run(step)


if __name__ == "__main__":
    sys.exit(exit_code(main))
