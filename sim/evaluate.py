"""`python -m sim.evaluate models/tabletop`: the exported policy on unseen starts, as the robot runs it.

With `--switch early,mid,late` it is told something else on the way (sim/switching).
"""

import argparse
import os
import shlex
import sys
from pathlib import Path

from policy.errors import InputError, exit_code, unknown
from policy.running.models import find_model
from policy.running.session import Session
from sim import evaluation_run as runs
from sim import headless
from sim.episodes import Job, choose_films, plan, play
from sim.job_queue import workers
from sim.report import summarise, write_page
from sim.switch_evaluation import evaluate_switches as switching
from sim.tasks import TASKS
from sim.video import Video
from sim.world import World

FIRST_SEED = 1_000_000  # seeds below are for training and tuning
FILM_SIZE = (240, 320)  # height, width

_world: World  # one of each in every worker process
_runtime: Session


def main() -> None:
    """Parse the arguments, play what is not yet played, write report, videos and page."""
    args = _arguments()
    if args.seed < FIRST_SEED:
        raise InputError(
            f"--seed {args.seed} is a training seed; evaluation seeds start at {FIRST_SEED}: "
            f"give --seed {FIRST_SEED} or more"
        )
    for name in ("episodes", "chains", "processes"):
        if getattr(args, name) < (0 if name == "chains" else 1):
            raise InputError(
                f"--{name} {getattr(args, name)}: expected a whole number of at least {0 if name == 'chains' else 1}"
            )
    headless.require()
    if args.switch is None:
        _evaluate(args, _task_names(args.tasks))
    else:
        switching.evaluate(args)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sim.evaluate", description=__doc__.splitlines()[0])
    parser.add_argument("model", help="model folder, as policy.export writes it")
    parser.add_argument(
        "--episodes",
        type=int,
        help="per task, a quarter per held-out run (default 100); with --switch, switches of each phase (default 200)",
    )
    parser.add_argument("--seed", type=int, default=FIRST_SEED)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", help="default out/eval, with --switch out/switch")
    parser.add_argument("--chains", type=int, default=50, help="not with --switch")
    parser.add_argument("--tasks", default="all", help="all, or names with commas between them; not with --switch")
    switching.add_arguments(parser.add_argument_group("a change of mind on the way"))
    args = parser.parse_args()
    for name in ("pairs", "baseline"):
        if args.switch is None and getattr(args, name) != parser.get_default(name):
            raise InputError(f"--{name} is about changes of mind: give --switch early,mid,late as well")
    args.episodes = args.episodes if args.episodes is not None else 100 if args.switch is None else 200
    args.out = args.out or ("out/eval" if args.switch is None else "out/switch")
    return args


def _evaluate(args: argparse.Namespace, tasks: list[str]) -> None:
    threads = 1 if args.processes > 1 else 2
    Session(args.model, threads, "cpu")  # a model that cannot run is told before anything is written
    held_out = max(1, args.episodes // 4)
    settings = {
        "policy": args.model,
        "sha256": runs.fingerprint(find_model(args.model)),
        "seed": args.seed,
        "episodes": args.episodes,
        "held_out": held_out,
        "chains": args.chains,
        "tasks": tasks,
    }
    jobs = plan(tasks, args.episodes, held_out, args.chains, args.seed)
    out = Path(args.out)
    with workers(args.processes, _open, args.model, threads) as pool:
        records = runs.play_all(pool, _play, jobs, out, settings, ("run", "seed"))
        report = summarise(settings, records) | {"command": _command(args)}
        report["videos"] = runs.film_all(pool, _film, choose_films(records, jobs), out / "videos")
    runs.write_json(out / "report.json", report)
    write_page(out)
    print(f"mean success {report['mean']:.1%}; report {out / 'report.json'}; page {out / 'index.html'}")


def _command(args: argparse.Namespace) -> str:
    """The command that makes this report again, with every default written out."""
    return shlex.join(
        [
            "python",
            "-m",
            "sim.evaluate",
            args.model,
            "--episodes",
            str(args.episodes),
            "--chains",
            str(args.chains),
            "--seed",
            str(args.seed),
            "--tasks",
            args.tasks,
            "--out",
            args.out,
        ]
    )


def _task_names(text: str) -> list[str]:
    names = list(TASKS) if text == "all" else text.split(",")
    for name in names:
        if name not in TASKS:
            raise unknown("task", name, TASKS)
    return names


def _open(model: str, threads: int) -> None:
    """In a worker: load world and policy once."""
    global _world, _runtime
    _world, _runtime = World(), Session(model, threads, "cpu")


def _play(job: Job) -> runs.Record:
    return play(job, _world, _runtime)


def _film(job: Job, path: Path) -> runs.Record:
    """In a worker: play a job again from its seed, this time filmed."""
    said: list[str] = []

    def watch() -> None:
        film.add(_world.render("show", *FILM_SIZE), said[-1])

    with Video(path) as film:
        record = play(job, _world, _runtime, lambda _, text: said.append(text), watch)
    success = record["done"] == len(record["given"]) if job.run == "chain" else record["success"]
    return {
        "task": job.task or "chain",
        "seed": job.seed,
        "start": job.start,
        "success": success,
        "instruction": " → ".join(said),
        "file": f"{path.parent.name}/{path.name}",
    }


if __name__ == "__main__":
    sys.exit(exit_code(main))
