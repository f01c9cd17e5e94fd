"""`python -m sim.evaluate <model> --switch early,mid,late`: a policy whose instruction changes mid-execution."""

import argparse
import shlex
from pathlib import Path

from policy.errors import InputError, unknown
from policy.running.models import find_model
from policy.running.session import Session
from sim.evaluation_run import Record, film_all, fingerprint, play_all, write_json
from sim.job_queue import workers
from sim.switch_evaluation import switch_films as films
from sim.switch_evaluation.methods import BASELINES
from sim.switch_evaluation.refusals import refusal_rates
from sim.switch_evaluation.switch_episode import play
from sim.switch_evaluation.switch_jobs import PHASES, SwitchJob, plan
from sim.switch_evaluation.switch_page import write_page
from sim.switch_evaluation.switch_report import summarise
from sim.worlds import load
from sim.worlds.interface import World

_world: World  # one of each in every worker process
_sessions: dict[bool, Session]  # True: ours, False: the baselines'


def add_arguments(parser: "argparse._ArgumentGroup") -> None:
    """The options of a switch evaluation."""
    parser.add_argument("--switch", help=f"when the instruction changes: some of {','.join(PHASES)}")
    parser.add_argument("--pairs", default="all", help="all, or how many ordered pairs of tasks, drawn by the seed")
    parser.add_argument("--baseline", help="folder of a policy without switching, on which keep, flush and retreat run")


def evaluate(args: argparse.Namespace) -> None:
    """Play what is not yet played, write report, videos and page."""
    load(args.world).require_several_tasks()
    tasks = load(args.world).tasks
    phases, pairs, out = _phases(args.switch), _pairs(args.pairs, len(tasks)), Path(args.out)
    threads = 1 if args.processes > 1 else 2
    settings = {
        "policy": args.model,
        "world": args.world,
        "sha256": None,
        "baseline": args.baseline,
        "baseline_sha256": None,
        "seed": args.seed,
        "episodes": args.episodes,
        "phases": phases,
        "pairs": args.pairs,
    }
    refusals = {}
    for name, key, model in (("ours", "sha256", args.model), ("baseline", "baseline_sha256", args.baseline)):
        if model:  # a model that cannot run is an error before anything is written
            refusals[name] = refusal_rates(Session(model, threads, "cpu"), tasks)
            settings[key] = fingerprint(find_model(model))
    jobs = plan(tasks, phases, pairs, args.episodes, args.seed, ["ours", *(BASELINES if args.baseline else ())])
    with workers(args.processes, _open, args.world, args.model, args.baseline, threads) as pool:
        records = play_all(pool, _play, jobs, out, settings, ("method", "run", "seed"))
        report = summarise(settings, records, refusals) | {"command": _command(args)}
        report["videos"] = film_all(pool, _film, films.choose_films(records, jobs), out / "videos")
    write_json(out / "report.json", report)
    write_page(out, report)
    rates = ", ".join(f"{phase} {r['rate']:.1%}" for phase, r in report["switch"].items())
    print(f"success of B: {rates}; report {out / 'report.json'}; page {out / 'index.html'}")


def _command(args: argparse.Namespace) -> str:
    """The command that makes this report again, with every default written out."""
    options = ("world", "switch", "pairs", "episodes", "seed", *(("baseline",) if args.baseline else ()), "out")
    words = [word for name in options for word in (f"--{name}", str(getattr(args, name)))]
    return shlex.join(["python", "-m", "sim.evaluate", args.model, *words])


def _phases(text: str) -> list[str]:
    phases = text.split(",")
    for phase in phases:
        if phase not in PHASES:
            raise unknown("phase of --switch", phase, PHASES)
    return phases


def _pairs(text: str, tasks: int) -> int | None:
    most = tasks * (tasks - 1)
    if text == "all":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise InputError(f"--pairs {text}: expected all, or a whole number from 1 to {most}")
    return int(text)


def _open(world: str, model: str, baseline: str | None, threads: int) -> None:
    """In a worker: load world and policies once."""
    global _world, _sessions
    _world, _sessions = load(world)(), {True: Session(model, threads, "cpu")}
    if baseline:
        _sessions[False] = Session(baseline, threads, "cpu")


def _session(method: str) -> Session:
    return _sessions[method == "ours"]


def _play(job: SwitchJob) -> Record:
    return play(job, _world, _session(job.method))


def _film(jobs: list[SwitchJob], path: Path) -> Record:
    return films.film(jobs, _world, _session, path)
