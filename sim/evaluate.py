"""Evaluates an exported policy from unseen initial states, as the robot runs it.

python -m sim.evaluate models/tabletop
python -m sim.evaluate models/tabletop --switch early,mid,late      the instruction changes mid-execution
"""

import argparse
import os
import shlex
import sys
from pathlib import Path

from policy.errors import InputError, exit_code, unknown
from policy.running.models import find_model
from policy.running.session import Session
from sim import headless
from sim.evaluation_jobs import EpisodeJob, choose_films, plan, play, succeeded
from sim.evaluation_run import Record, film_all, fingerprint, play_all, write_json
from sim.job_queue import workers
from sim.report import summarise, write_page
from sim.switch_evaluation import evaluate_switches
from sim.video import Video
from sim.worlds import DEFAULT, load
from sim.worlds.interface import World

FIRST_SEED = 1_000_000  # seeds below are for training and tuning
FILM_SIZE = (240, 320)  # height, width

_world: World  # one of each in every worker process
_session: Session


def main() -> None:
    """Parse the arguments, play what is not yet played, write report, videos and page."""
    args = _arguments()
    if args.seed < FIRST_SEED:
        raise InputError(
            f"--seed {args.seed} is a training seed; evaluation seeds start at {FIRST_SEED}: "
            f"give --seed {FIRST_SEED} or more"
        )
    for name, least in (("episodes", 1), ("chains", 0), ("processes", 1)):
        if getattr(args, name) < least:
            raise InputError(f"--{name} {getattr(args, name)}: expected a whole number of at least {least}")
    headless.require()
    if args.switch is None:
        _evaluate(args, _task_names(args.world, args.tasks))
    else:
        evaluate_switches.evaluate(args)


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
    parser.add_argument("--world", default=DEFAULT, help="a name in sim/worlds")
    parser.add_argument("--chains", type=int, default=50, help="not with --switch")
    parser.add_argument("--tasks", default="all", help="all, or names with commas between them; not with --switch")
    evaluate_switches.add_arguments(parser.add_argument_group("a change of the instruction mid-execution"))
    args = parser.parse_args()
    for name in ("pairs", "baseline"):
        if args.switch is None and getattr(args, name) != parser.get_default(name):
            raise InputError(f"--{name} is only for changes of the instruction: give --switch early,mid,late as well")
    args.episodes = args.episodes if args.episodes is not None else 100 if args.switch is None else 200
    args.out = args.out or ("out/eval" if args.switch is None else "out/switch")
    return args


def _evaluate(args: argparse.Namespace, tasks: list[str]) -> None:
    threads, out = 1 if args.processes > 1 else 2, Path(args.out)
    Session(args.model, threads, "cpu")  # a model that cannot run is an error before anything is written
    held_out = max(1, args.episodes // 4)
    settings = {
        "policy": args.model,
        "world": args.world,
        "sha256": fingerprint(find_model(args.model)),
        "seed": args.seed,
        "episodes": args.episodes,
        "held_out": held_out,
        "chains": args.chains,
        "tasks": tasks,
    }
    jobs = plan(tasks, args.episodes, held_out, args.chains, args.seed)
    with workers(args.processes, _open, args.world, args.model, threads) as pool:
        records = play_all(pool, _play, jobs, out, settings, ("run", "seed"))
        report = summarise(settings, records) | {"command": _command(args)}
        report["videos"] = film_all(pool, _film, choose_films(records, jobs), out / "videos")
    write_json(out / "report.json", report)
    write_page(out, report)
    print(f"mean success {report['mean']:.1%}; report {out / 'report.json'}; page {out / 'index.html'}")


def _command(args: argparse.Namespace) -> str:
    """The command that makes this report again, with every default written out."""
    options = ("world", "episodes", "chains", "seed", "tasks", "out")
    words = [word for name in options for word in (f"--{name}", str(getattr(args, name)))]
    return shlex.join(["python", "-m", "sim.evaluate", args.model, *words])


def _task_names(world: str, text: str) -> list[str]:
    tasks = load(world).tasks
    names = list(tasks) if text == "all" else text.split(",")
    for name in names:
        if name not in tasks:
            raise unknown("task", name, tasks)
    return names


def _open(world: str, model: str, threads: int) -> None:
    """In a worker: load world and policy once."""
    global _world, _session
    _world, _session = load(world)(), Session(model, threads, "cpu")


def _play(job: EpisodeJob) -> Record:
    return play(job, _world, _session)


def _film(job: EpisodeJob, path: Path) -> Record:
    """In a worker: play a job again from its seed and film it."""
    instructions: list[str] = []

    def watch() -> None:
        film.add(_world.render(_world.show_camera, *FILM_SIZE), instructions[-1])

    with Video(path) as film:
        record = play(job, _world, _session, lambda task, instruction: instructions.append(instruction), watch)
    return {
        "task": job.task or "chain",
        "seed": job.seed,
        "start": job.start,
        "success": succeeded(record),
        "instruction": " → ".join(instructions),
        "file": f"{path.parent.name}/{path.name}",
    }


if __name__ == "__main__":
    sys.exit(exit_code(main))
