"""Plays and films the jobs of an evaluation; each record is written at once, so that a stopped run can continue."""

import argparse
import hashlib
import json
import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, as_completed
from contextlib import AbstractContextManager, closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from policy import folders
from policy.errors import InputError
from policy.running import known_instructions
from policy.running.models import find_model
from policy.running.policy_client import SCHEMES
from policy.running.remote import RemoteSession, open_session
from policy.running.session import Session
from sim.cluster import cluster
from sim.evaluation_films import film_missing
from sim.evaluation_page.curve_files import CurveFiles
from sim.evaluation_page.view import Kind
from sim.evaluation_page.written import (
    LOG,
    REPORT,
    SETTINGS,
    read_lines,
    read_settings,
    write_errors,
    write_json,
    write_page,
    write_text,
)
from sim.fitting import require_robot
from sim.job_queue import robots, workers
from sim.taught_tasks import asked
from sim.worlds import load

RUNS = ("policy.onnx", "spec.json", "contract.yaml", known_instructions.FILE)  # of a model folder
Record = dict[str, Any]


def common_settings(args: argparse.Namespace) -> Record:
    """What decides the records of any evaluation; `InputError`, before it writes, for a model that cannot run."""
    with closing(opened(args.model, args)) as session:
        return {
            "policy": args.model,
            "world": args.world,
            "sha256": identity(args.model, session),
            "seed": args.seed,
            "episodes": args.episodes,
        } | ({"mapping": args.mapping} if args.mapping else {})


def asked_tasks(args: argparse.Namespace) -> list[str]:
    """What --tasks names: "all" are those of the world that the policy was taught."""
    names = load(args.world).named(args.tasks)
    if args.tasks != "all":
        return names
    with closing(opened(args.model, args)) as session:
        return asked(names, session)


def opened(model: str, args: argparse.Namespace) -> Session:
    """A policy, to look at what it is; `InputError` for one that cannot run, or not on this robot."""
    mapping = args.mapping if model == args.model else None
    session = open_session(model, 1, "cpu", load(args.world).contract(), mapping)
    require_robot(session, model, args.world)
    return session


def command(args: argparse.Namespace, *options: str) -> str:
    """The command that makes a report again, with every default written out."""
    options += ("mapping",) if args.mapping else ()
    given = {option: getattr(args, option.replace("-", "_")) for option in options}
    words = [word for option, value in given.items() for word in (f"--{option}", str(value))]
    return shlex.join(["python", "-m", "sim.evaluate", args.model, *words])


def run_evaluation(
    kind: Kind, settings: Record, args: argparse.Namespace, summarise: Callable[[list[Record]], Record]
) -> Record:
    """Play what is not yet played, write report, films and page; the report, as `summarise` makes it of the records.

    `InputError` while another evaluation writes to the same folder.
    """
    out, jobs, fleet = Path(args.out), kind.jobs(settings), args.robots > 1
    prepare, arguments = kind.prepare(settings, 2 if fleet or args.processes == 1 else 1)
    if args.ray:
        workplace: AbstractContextManager[Executor] = cluster(args.ray, prepare, *arguments)
    elif fleet:
        workplace = robots(args.robots, prepare, *arguments)
    else:
        workplace = workers(args.processes, prepare, *arguments)
    with workplace as pool, folders.claimed(out):
        records = play_all(pool, kind.play, jobs, out, settings, kind.key)
        report = summarise(records)
        write_json(out / REPORT, report)
        write_page(kind, out)  # which is there also where the disk has no room for films
        film_missing(pool, kind, jobs, records, out, args.films)
        write_page(kind, out)
    return report


def play_all(
    pool: Executor,
    play: Callable[..., Record],
    jobs: Sequence[Any],
    out: Path,
    settings: Record,
    key: tuple[str, ...],
) -> list[Record]:
    """Every record, in the order of `jobs`: read from the log of a stopped run if it is there, else played.

    `key` names the fields, of a job and of its record, that identify a job. What a record has as "curves" goes to the
    files of curves instead. Raises `InputError` if `out` holds a run with other settings or cannot be written.
    """

    def identity(of: Record) -> tuple[Any, ...]:
        return tuple(of[field] for field in key)

    path, names = out / LOG, [identity(asdict(job)) for job in jobs]
    done = {identity(record): record for record in _resume(out, settings)}
    left = {name: (number, job) for number, (name, job) in enumerate(zip(names, jobs, strict=True)) if name not in done}
    progress = tqdm(total=len(jobs), initial=len(jobs) - len(left), unit="episode", smoothing=0.05)
    with write_errors(path), path.open("a") as log, progress:
        curves = CurveFiles(out, len(jobs))
        for future in as_completed([pool.submit(play, job) for _, job in left.values()]):
            record = future.result()
            if played := record.pop("curves", None):
                curves.write(left[identity(record)][0], played)
            log.write(json.dumps(record) + "\n")
            log.flush()
            done[identity(record)] = record
            progress.update()
    return [done[name] for name in names]


def identity(model: str, session: Session) -> str:
    """SHA-256 of what runs of a model folder, or of what a policy server says of itself."""
    return session.fingerprint if isinstance(session, RemoteSession) else fingerprint(find_model(model))


def fingerprint(model: Path) -> str:
    """SHA-256 of all that runs of a model folder: graph, spec, contract and what it was taught."""
    made = hashlib.sha256()
    for name in RUNS:
        if (file := model / name).exists():
            made.update(f"{name} {file.stat().st_size}\n".encode() + file.read_bytes())
    return made.hexdigest()


def _without_addresses(settings: Record) -> Record:
    """Settings in which a served policy is what it says of itself, wherever it is served."""
    return {k: "served" if isinstance(v, str) and v.startswith(SCHEMES) else v for k, v in settings.items()}


def _resume(out: Path, settings: Record) -> list[Record]:
    """The records of a stopped run with the same settings; `InputError` if the settings differ."""
    log, file = out / LOG, out / SETTINGS
    if file.exists():
        earlier, asked = _without_addresses(read_settings(out)), _without_addresses(settings)
        if earlier != asked:
            differ = ", ".join(
                f"{k} {earlier.get(k)!r} there, {asked.get(k)!r} asked for"
                for k in {**asked, **earlier}
                if earlier.get(k) != asked.get(k)
            )
            raise InputError(f"{out} holds another evaluation ({differ}); give another --out, or remove that folder")
    elif log.exists():
        raise InputError(f"{log} exists without its {SETTINGS}; give another --out, or remove that folder")
    write_json(file, settings)
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    whole = [line for line in lines if line.endswith("\n")]  # a kill may have cut the last one short
    if whole != lines:
        write_text(log, "".join(whole))
    return read_lines(log, whole)
