"""Evaluates an exported policy from unseen initial states, as the robot runs it.

python -m sim.evaluate models/tabletop
python -m sim.evaluate models/tabletop --switch early,mid,late      the instruction changes mid-execution
python -m sim.evaluate models/tabletop --shift all                  other lights, colours, cameras, objects
python -m sim.evaluate models/tabletop --latency-ms 0,100,200        success and smoothness with slow inference
python -m sim.evaluate ws://127.0.0.1:8000 --mapping mine.yaml      a policy that is served elsewhere
python -m sim.evaluate models/tabletop --words all                  opposites, negations, near misses, two tasks at once
"""

import argparse
import os
import sys
from pathlib import Path

from policy.errors import InputError, exit_code
from policy.running.policy_client import SCHEMES
from policy.running.providers import PROVIDERS, candidates
from policy.running.schedule import STRATEGIES
from sim import headless, latency_evaluation, shift_evaluation, words_report
from sim.cluster import add_argument
from sim.evaluation_jobs import chained
from sim.evaluation_page.row import MOST_FILMS
from sim.evaluation_run import asked_tasks, command, common_settings, run_evaluation
from sim.initial_states import check_seed
from sim.plain_report import KIND, summarise
from sim.switch_evaluation import evaluate_switches
from sim.worlds import DEFAULT, load

FIRST_SEED = 1_000_000  # seeds below are for training and tuning
KINDS = {
    "eval": "a plain evaluation",
    "switch": "--switch",
    "shift": "--shift",
    "latency": "--latency-ms",
    "words": "--words",
}
READ_BY = {  # option -> the kinds of evaluation that read it; the others are read by all
    "tasks": ("eval", "shift", "latency"),
    "chains": ("eval",),
    "provider": ("eval",),
    "robots": ("eval", "shift", "latency", "words"),
    "pairs": ("switch",),
    "baseline": ("switch",),
}
CHAINS = 50  # by default
EPISODES = {"eval": 100, "latency": 10, "shift": 10, "switch": 200, "words": 100}  # by default


def main() -> None:
    """Parse the arguments, play what is not yet played, write report, videos and page."""
    args = _arguments()
    if args.seed < FIRST_SEED:
        raise InputError(
            f"--seed {args.seed} is a training seed; evaluation seeds start at {FIRST_SEED}: "
            f"give --seed {FIRST_SEED} or more"
        )
    check_seed(args.seed)
    for name, least in (("episodes", 1), ("chains", 0), ("films", 0), ("robots", 1), ("processes", 1)):
        if (given := getattr(args, name)) is not None and given < least:
            raise InputError(f"--{name} {given}: expected a whole number of at least {least}")
    headless.require()
    if args.switch is not None:
        evaluate_switches.evaluate(args)
    elif args.words is not None:
        words_report.evaluate(args)
    elif args.latency_ms is not None or args.schedule is not None:
        latency_evaluation.evaluate(args, asked_tasks(args))
    elif args.shift is not None:
        shift_evaluation.evaluate(args, asked_tasks(args))
    else:
        _evaluate(args, asked_tasks(args))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sim.evaluate", description=__doc__.splitlines()[0])
    parser.add_argument("model", help="model folder, as policy.export writes it, or ws://host:port of a policy server")
    parser.add_argument("--mapping", help="YAML of a served policy's keys; default: as its server describes it")
    parser.add_argument(
        "--episodes",
        type=int,
        help="per task, a quarter per held-out run (default 100); with --shift, per task and shift (default 10); "
        "with --latency-ms or --schedule, per task, latency and schedule (default 10); "
        "with --words, of order, per task (default 100); "
        "with --switch, switches of each phase (default 200)",
    )
    parser.add_argument("--seed", type=int, default=FIRST_SEED)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--robots",
        type=int,
        default=1,
        help="worlds in one process, whose inferences are one batch, in place of --processes; not with --switch",
    )
    parser.add_argument("--provider", default="cpu", help=f"auto or one of {', '.join(PROVIDERS)}; plain evaluation")
    parser.add_argument(
        "--out",
        help="default out/eval, with --switch out/switch, with --shift out/shift, with --words out/words, "
        "with --latency-ms or --schedule out/latency",
    )
    parser.add_argument("--films", type=int, default=MOST_FILMS, help="at most so many: one success a task, failures")
    parser.add_argument("--world", default=DEFAULT, help="a name in sim/worlds")
    parser.add_argument("--chains", type=int, help="of tasks in a row in one scene (default 50); plain evaluation")
    parser.add_argument(
        "--tasks",
        default="all",
        help="all (that it was taught), a suite such as memory, or names with commas; not with --switch or --words",
    )
    parser.add_argument("--words", help="all, or some of order,negated,under_way,near_misses,pairs: frozen sentences")
    parser.add_argument("--latency-ms", help=f"times of one inference, default {latency_evaluation.LATENCIES}")
    parser.add_argument("--schedule", help=f"how chunks join: all, or some of {','.join(STRATEGIES)}")
    parser.add_argument("--shift", help="all, or names with commas between them: other lights, colours, cameras")
    add_argument(parser)
    evaluate_switches.add_arguments(parser.add_argument_group("a change of the instruction mid-execution"))
    args = parser.parse_args()
    asked = {name: getattr(args, name) for name in ("switch", "shift", "words")}
    asked["latency"] = args.latency_ms if args.latency_ms is not None else args.schedule
    kinds = [name for name, value in asked.items() if value is not None] or ["eval"]
    if len(kinds) > 1:
        raise InputError(f"{' and '.join(f'--{name}' for name in kinds)} are two evaluations: give one of them")
    kind = kinds[0]
    for name, readers in READ_BY.items():
        if kind not in readers and getattr(args, name) != parser.get_default(name):
            others = ", ".join(KINDS[reader] for reader in readers)
            raise InputError(f"--{name} is for {others}; {KINDS[kind]} does not read it: leave it out")
    if args.ray and (args.robots > 1 or args.model.startswith(SCHEMES)):
        raise InputError(
            f"--ray {args.ray}: neither --robots nor a served policy is for a cluster; leave one of them out"
        )
    if args.robots > 1 and args.model.startswith(SCHEMES):
        raise InputError(f"--robots {args.robots}: a served policy is for one robot at a time; leave it out")
    candidates(args.provider)  # an unknown one is an error now
    if args.provider != "cpu" and args.model.startswith(SCHEMES):
        raise InputError(f"--provider {args.provider} is for a model folder, not for a served policy; leave it out")
    args.episodes = args.episodes if args.episodes is not None else EPISODES[kind]
    args.out = args.out or f"out/{kind}"
    return args


def _evaluate(args: argparse.Namespace, tasks: list[str]) -> None:
    out = Path(args.out)
    held_out = max(1, args.episodes // 4)
    possible = chained(tasks, load(args.world))
    if args.chains and not possible:
        raise InputError(
            f"--chains {args.chains}: none of {', '.join(tasks)} in {args.world} has others beside it in its scene; "
            "leave it out"
        )
    args.chains = CHAINS * possible if args.chains is None else args.chains
    settings = common_settings(args) | {"held_out": held_out, "chains": args.chains, "tasks": tasks}
    more = {"provider": args.provider} if args.provider != "cpu" else {}
    settings |= more
    options = ("world", "episodes", "chains", "seed", "tasks", "out", *more)
    made = {"command": command(args, *options)}
    report = run_evaluation(KIND, settings, args, lambda records: summarise(settings, records) | made)
    print(f"mean success {report['mean']:.1%}; report {out / 'report.json'}; page {out / 'index.html'}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
