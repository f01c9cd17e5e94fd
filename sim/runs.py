"""Jobs in worker processes, each record written down at once: what was stopped goes on where it was."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from policy.data.workers import pool as new_pool
from policy.errors import InputError

LOG, SETTINGS = "episodes.jsonl", "settings.json"
Record = dict[str, Any]


@contextmanager
def workers(processes: int, out: Path, begin: Callable[..., None], *arguments: Any) -> Iterator[ProcessPoolExecutor]:
    """A pool, each of its processes prepared by `begin(*arguments)`; Ctrl-C ends it and says how to go on."""
    with new_pool(processes, begin, *arguments) as pool:
        try:
            yield pool
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            print(f"stopped; the same command goes on from {out / LOG}", file=sys.stderr)
            raise SystemExit(130) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def play_all(
    pool: ProcessPoolExecutor,
    play: Callable[..., Record],
    jobs: Sequence[Any],
    out: Path,
    settings: Record,
    key: tuple[str, ...],
) -> list[Record]:
    """Every record, in the order of `jobs`: read from an earlier run where it is there, else played.

    `key`: the fields, of a job and of its record, that tell jobs apart. Raises `InputError` where `out` holds a run
    with other settings or cannot be written.
    """

    def told(of: Record) -> tuple[Any, ...]:
        return tuple(of[field] for field in key)

    path, names = out / LOG, [told(asdict(job)) for job in jobs]
    done = {told(record): record for record in _resume(out, settings)}
    left = [job for job, name in zip(jobs, names, strict=True) if name not in done]
    progress = tqdm(total=len(jobs), initial=len(jobs) - len(left), unit="episode", smoothing=0.05)
    with write_errors(path), path.open("a") as log, progress:
        for future in as_completed([pool.submit(play, job) for job in left]):
            record = future.result()
            log.write(json.dumps(record) + "\n")
            log.flush()
            done[told(record)] = record
            progress.update()
    return [done[name] for name in names]


def film_all(
    pool: ProcessPoolExecutor, film: Callable[[Any, Path], Record], films: Iterable[tuple[str, Any]], folder: Path
) -> list[Record]:
    """`film(job, path)` for the name and the job of each film; what it returned, in that order."""
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    futures = [pool.submit(film, job, folder / f"{name}.mp4") for name, job in films]
    return [f.result() for f in tqdm(futures, desc="videos", unit="video")]


def fingerprint(model: str) -> str:
    """SHA-256 of a model folder's graph."""
    return hashlib.sha256((Path(model) / "policy.onnx").read_bytes()).hexdigest()


def write(path: Path, content: Record) -> None:
    """A file of JSON: written aside, then renamed."""
    _write(path, json.dumps(content, indent=1) + "\n")


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """A disk that is full or not ours is the user's problem, told as a sentence."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot write {path} ({error.strerror or error}); make room or give another --out; "
            "the same command goes on where it stopped"
        ) from None


def _resume(out: Path, settings: Record) -> Iterator[Record]:
    """The records of an earlier run of the same evaluation; `InputError` if it was another one."""
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
        raise InputError(f"{log} is there without its {SETTINGS}; give another --out, or remove that folder")
    write(file, settings)
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    whole = [line for line in lines if line.endswith("\n")]  # the last one may have been cut short by a kill
    if whole != lines:
        _write(log, "".join(whole))
    return map(json.loads, whole)


def _write(path: Path, text: str) -> None:
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(path.suffix + ".part")
        aside.write_text(text)
        aside.replace(path)
