"""Plays and films the jobs of an evaluation; each record is written at once, so that a stopped run can continue."""

import argparse
import hashlib
import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from policy.errors import InputError
from policy.running.models import find_model
from policy.running.remote import RemoteSession, open_session
from sim.worlds import load

LOG, SETTINGS = "episodes.jsonl", "settings.json"
Record = dict[str, Any]


def common_settings(args: argparse.Namespace) -> Record:
    """What decides the records of any evaluation; `InputError`, before it writes, for a model that cannot run."""
    session = open_session(args.model, 1, "cpu", load(args.world).contract(), args.mapping)
    session.close()
    return {
        "policy": args.model,
        "world": args.world,
        "sha256": session.fingerprint if isinstance(session, RemoteSession) else fingerprint(find_model(args.model)),
        "seed": args.seed,
        "episodes": args.episodes,
    }


def command(args: argparse.Namespace, *options: str) -> str:
    """The command that makes a report again, with every default written out."""
    given = {option: getattr(args, option.replace("-", "_")) for option in options}
    words = [word for option, value in given.items() for word in (f"--{option}", str(value))]
    return shlex.join(["python", "-m", "sim.evaluate", args.model, *words])


def play_all(
    pool: ProcessPoolExecutor,
    play: Callable[..., Record],
    jobs: Sequence[Any],
    out: Path,
    settings: Record,
    key: tuple[str, ...],
) -> list[Record]:
    """Every record, in the order of `jobs`: read from the log of a stopped run if it is there, else played.

    `key` names the fields, of a job and of its record, that identify a job. Raises `InputError` if `out` holds a run
    with other settings or cannot be written.
    """

    def identity(of: Record) -> tuple[Any, ...]:
        return tuple(of[field] for field in key)

    path, names = out / LOG, [identity(asdict(job)) for job in jobs]
    done = {identity(record): record for record in _resume(out, settings)}
    left = [job for job, name in zip(jobs, names, strict=True) if name not in done]
    progress = tqdm(total=len(jobs), initial=len(jobs) - len(left), unit="episode", smoothing=0.05)
    with write_errors(path), path.open("a") as log, progress:
        for future in as_completed([pool.submit(play, job) for job in left]):
            record = future.result()
            log.write(json.dumps(record) + "\n")
            log.flush()
            done[identity(record)] = record
            progress.update()
    return [done[name] for name in names]


def film_all(
    pool: ProcessPoolExecutor, film: Callable[[Any, Path], Record], films: Iterable[tuple[str, Any]], folder: Path
) -> list[Record]:
    """What `film(job, path)` returns for the name and job of each film, in this order."""
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    futures = [pool.submit(film, job, folder / f"{name}.mp4") for name, job in films]
    return [f.result() for f in tqdm(futures, desc="videos", unit="video")]


def fingerprint(model: Path) -> str:
    """SHA-256 of a model folder's graph."""
    return hashlib.sha256((model / "policy.onnx").read_bytes()).hexdigest()


def write_json(path: Path, content: Record) -> None:
    """Write a JSON file under another name, then rename it."""
    _write(path, json.dumps(content, indent=1) + "\n")


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a missing permission into an `InputError`."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot write {path} ({error.strerror or error}); free space or give another --out; "
            "the same command continues where it stopped"
        ) from None


def _resume(out: Path, settings: Record) -> Iterator[Record]:
    """The records of a stopped run with the same settings; `InputError` if the settings differ."""
    log, file = out / LOG, out / SETTINGS
    if file.exists():
        earlier = json.loads(file.read_text())
        if earlier != settings:
            differ = ", ".join(
                f"{k} {earlier.get(k)!r} there, {settings.get(k)!r} asked for"
                for k in {**settings, **earlier}
                if earlier.get(k) != settings.get(k)
            )
            raise InputError(f"{out} holds another evaluation ({differ}); give another --out, or remove that folder")
    elif log.exists():
        raise InputError(f"{log} exists without its {SETTINGS}; give another --out, or remove that folder")
    write_json(file, settings)
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    whole = [line for line in lines if line.endswith("\n")]  # a kill may have cut the last one short
    if whole != lines:
        _write(log, "".join(whole))
    return map(json.loads, whole)


def _write(path: Path, text: str) -> None:
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(path.suffix + ".part")
        part.write_text(text)
        part.replace(path)
