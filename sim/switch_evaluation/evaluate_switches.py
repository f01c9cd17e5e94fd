"""`python -m sim.evaluate <model> --switch early,mid,late`: a policy whose instruction changes mid-execution."""

import argparse
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from policy.errors import InputError, listed
from policy.running.session import Session
from sim.evaluation_page.row import Row
from sim.evaluation_page.view import Kind, Record
from sim.evaluation_run import command, common_settings, identity, opened, run_evaluation
from sim.evaluation_worker import answered, policy_of
from sim.switch_evaluation.methods import BASELINES
from sim.switch_evaluation.refusals import refusal_rates
from sim.switch_evaluation.switch_episode import play
from sim.switch_evaluation.switch_films import BEFORE, film
from sim.switch_evaluation.switch_jobs import PHASES, SwitchJob, plan
from sim.switch_evaluation.switch_page import markdown, rate_text, view
from sim.switch_evaluation.switch_report import summarise
from sim.taught_tasks import asked, not_taught
from sim.worlds import load
from sim.worlds.interface import RATE, World

TAUGHT = "taught"  # the settings' word for: asked in sentences that the policies were taught

_world: World  # one of each in every worker process
_sessions: dict[bool, Session]  # True: ours, False: the baselines'
_left_out: frozenset[str]  # phrasings that one of them was not taught


def add_arguments(parser: "argparse._ArgumentGroup") -> None:
    """The options of a switch evaluation."""
    parser.add_argument("--switch", help=f"when the instruction changes: some of {','.join(PHASES)}")
    parser.add_argument("--pairs", default="all", help="all, or how many ordered pairs of tasks, drawn by the seed")
    parser.add_argument(
        "--baseline", help="a policy without switching, folder or ws://host:port, on which keep, flush and retreat run"
    )


def evaluate(args: argparse.Namespace) -> None:
    """Play what is not yet played, write report, videos and page."""
    phases, out, world = _phases(args.switch), Path(args.out), load(args.world)
    world.require_several_tasks()
    if not world.tells_contact:
        raise InputError(
            f"the world {args.world} has {len(world.tasks)} tasks and does not tell contact, by which "
            "--switch times the change of the instruction: give another --world, or leave out --switch"
        )
    _pairs(args.pairs, len(world.tasks))
    with closing(opened(args.model, args)) as session:
        names = asked(world.tasks, session)
    if len(names) < 2:
        raise InputError(f"{args.model} was taught {names[0]} alone, and to change the instruction needs two tasks")
    _pairs(args.pairs, len(names))
    settings = common_settings(args) | {
        "tasks": names,
        "sentences": TAUGHT,
        "baseline": args.baseline,
        "baseline_sha256": None,
        "phases": phases,
        "pairs": args.pairs,
    }
    refusals, sessions, tasks = {}, [], {name: world.tasks[name] for name in names}
    for name, model in (("ours", args.model), ("baseline", args.baseline)):
        if model:  # a model that cannot run is an error before anything is written
            with closing(opened(model, args)) as session:
                if name == "baseline" and session.spec.switches:
                    raise InputError(
                        f"--baseline {model} switches by itself; keep, flush and retreat are for a policy that does "
                        "not, such as one of the recipe `chunk`: give one"
                    )
                sessions.append(session)
                refusals[name] = refusal_rates(session, tasks)
                if name == "baseline":
                    settings["baseline_sha256"] = identity(model, session)
    not_taught(tasks.values(), sessions)
    options = ("world", "switch", "pairs", "episodes", "seed", *(("baseline",) if args.baseline else ()), "out")
    made = {"command": command(args, *options)}
    report = run_evaluation(KIND, settings, args, lambda records: summarise(settings, records, refusals) | made)
    rates = ", ".join(f"{phase} {rate_text(r)}" for phase, r in report["switch"].items())
    print(f"success of B: {rates}; report {out / 'report.json'}; page {out / 'index.html'}")


def _phases(text: str) -> list[str]:
    return listed(text, "phase of --switch", PHASES)


def _pairs(text: str, tasks: int) -> int | None:
    most = tasks * (tasks - 1)
    if text == "all":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise InputError(f"--pairs {text}: expected all, or a whole number from 1 to {most}")
    return int(text)


def _jobs(settings: Record) -> list[SwitchJob]:
    tasks = settings.get("tasks", load(settings["world"]).tasks)  # all, before they were noted
    methods = ["ours", *(BASELINES if settings["baseline"] else ())]
    pairs = _pairs(settings["pairs"], len(tasks))
    return plan(tasks, settings["phases"], pairs, settings["episodes"], settings["seed"], methods)


def _row(record: Record) -> Row | None:
    """An episode with a change; None where no layout was found for it."""
    if record["skipped"]:
        return None
    notes = ["" if record["success"] else "last task not done"]
    notes.append("object dropped" if record.get("object_safe") is False else "")
    if resumed := record.get("resumed"):
        notes.append("A resumed" if resumed["success"] else "A not resumed" if resumed["by"] else "A not possible")
    if record["run"] == "false_switch":
        notes += [f"{steps} steps {mode}" for mode, steps in record["mode_steps"].items() if mode != "forward"]
    return Row(
        record["seed"],
        " → ".join(record["tasks"]),
        record["run"],
        bool(record["success"]),
        record["time_to_b_s"],
        " → ".join(record["instructions"]),
        method=record["method"],
        note="; ".join(filter(None, [*notes, record["refused"]])),
        layout=record["layout_seed"],
        filmed=record["method"] == "ours",
        counted=record["method"] == "ours" and record["run"] in PHASES,
        film_from=(record["switch_steps"][0] - BEFORE) / RATE,
    )


def _prepare(settings: Record, threads: int) -> tuple[Callable[..., None], tuple[Any, ...]]:
    tasks = settings["tasks"] if settings.get("sentences") == TAUGHT else ()  # in all, before it was noted
    policies = settings["policy"], settings["baseline"]
    return _open, (settings["world"], *policies, threads, settings.get("mapping"), tasks)


def _open(
    world: str, model: str, baseline: str | None, threads: int, mapping: str | None, tasks: Sequence[str]
) -> None:
    """In a worker: load world and policies once; `tasks` are asked for in sentences that these were taught."""
    global _world, _sessions, _left_out
    _world, _sessions = load(world)(), {True: policy_of(world, model, threads, mapping)}
    if baseline:
        _sessions[False] = policy_of(world, baseline, threads, None)
    _left_out = not_taught([_world.tasks[name] for name in tasks], list(_sessions.values()))


def _session(method: str) -> Session:
    return _sessions[method == "ours"]


def _play(job: SwitchJob) -> Record:
    with answered():
        return play(job, _world, _session(job.method), left_out=_left_out)


def _film(job: SwitchJob, path: Path) -> None:
    with answered():
        film(job, _world, _sessions, path, _left_out)


KIND = Kind(_jobs, ("method", "run", "seed"), _play, _row, view, markdown, _prepare, _film)
