"""`python -m sim.evaluate <model> --switch early,mid,late`: what the policy does when it is told something else."""

import argparse
import shlex
from pathlib import Path

from policy.errors import InputError, unknown
from policy.running.models import find_model
from policy.running.session import Session
from sim import evaluation_run as runs
from sim.job_queue import workers
from sim.switch_evaluation import film
from sim.switch_evaluation import switch_page as page
from sim.switch_evaluation.methods import BASELINES
from sim.switch_evaluation.refusals import refusals
from sim.switch_evaluation.switch_jobs import PHASES, Job, plan, play
from sim.switch_evaluation.switch_report import summarise
from sim.tasks import TASKS
from sim.world import World

_world: World  # one of each in every worker process
_runtimes: dict[bool, Session]  # ours, and (False) that of the baselines


def add_arguments(parser: "argparse._ArgumentGroup") -> None:
    """The options of a switch evaluation."""
    parser.add_argument("--switch", help=f"when the instruction changes: some of {','.join(PHASES)}")
    parser.add_argument("--pairs", default="all", help="all, or how many ordered pairs of tasks, drawn by the seed")
    parser.add_argument("--baseline", help="folder of a policy without switching, on which keep, flush and retreat run")


def evaluate(args: argparse.Namespace) -> None:
    """Play what is not yet played, write report, videos and page."""
    phases, pairs = _phases(args.switch), _pairs(args.pairs)
    threads = 1 if args.processes > 1 else 2
    settings = {
        "policy": args.model,
        "sha256": None,
        "baseline": args.baseline,
        "baseline_sha256": None,
        "seed": args.seed,
        "episodes": args.episodes,
        "phases": phases,
        "pairs": args.pairs,
    }
    words = {}
    for name, key, folder in (("ours", "sha256", args.model), ("baseline", "baseline_sha256", args.baseline)):
        if folder:  # a model that cannot run is told before anything is written
            words[name] = refusals(Session(folder, threads, "cpu"))
            settings[key] = runs.fingerprint(find_model(folder))
    jobs = plan(phases, pairs, args.episodes, args.seed, ["ours", *(BASELINES if args.baseline else ())])
    out = Path(args.out)
    with workers(args.processes, _open, args.model, args.baseline, threads) as pool:
        records = runs.play_all(pool, _play, jobs, out, settings, ("method", "run", "seed"))
        report = summarise(settings, records, words) | {"command": _command(args)}
        report["videos"] = runs.film_all(pool, _film, film.choose(records, jobs), out / "videos")
    runs.write_json(out / "report.json", report)
    page.write_page(out, report)
    rates = ", ".join(f"{phase} {r['rate']:.1%}" for phase, r in report["switch"].items())
    print(f"success of B: {rates}; report {out / 'report.json'}; page {out / 'index.html'}")


def _command(args: argparse.Namespace) -> str:
    """The command that makes this report again, with every default written out."""
    return shlex.join(
        [
            "python",
            "-m",
            "sim.evaluate",
            args.model,
            "--switch",
            args.switch,
            "--pairs",
            args.pairs,
            "--episodes",
            str(args.episodes),
            "--seed",
            str(args.seed),
            *(("--baseline", args.baseline) if args.baseline else ()),
            "--out",
            args.out,
        ]
    )


def _phases(text: str) -> list[str]:
    phases = text.split(",")
    for phase in phases:
        if phase not in PHASES:
            raise unknown("phase of --switch", phase, PHASES)
    return phases


def _pairs(text: str) -> int | None:
    most = len(TASKS) * (len(TASKS) - 1)
    if text == "all":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise InputError(f"--pairs {text}: expected all, or a whole number from 1 to {most}")
    return int(text)


def _open(model: str, baseline: str | None, threads: int) -> None:
    """In a worker: load world and policies once."""
    global _world, _runtimes
    _world, _runtimes = World(), {True: Session(model, threads, "cpu")}
    if baseline:
        _runtimes[False] = Session(baseline, threads, "cpu")


def _runtime(method: str) -> Session:
    return _runtimes[method == "ours"]


def _play(job: Job) -> runs.Record:
    return play(job, _world, _runtime(job.method))


def _film(jobs: list[Job], path: Path) -> runs.Record:
    return film.film(jobs, _world, _runtime, path)
