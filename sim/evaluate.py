"""`python -m sim.evaluate models/tabletop`: the exported policy on unseen starts, as the robot runs it."""

import argparse
import hashlib
import json
import multiprocessing
import os
import shlex
import signal
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from policy.errors import InputError, exit_code, unknown
from policy.runtime import Runtime
from sim import headless
from sim.jobs import Job, choose_films, plan, play
from sim.report import summarise, write_page
from sim.tasks import TASKS
from sim.video import Video
from sim.world import World

FIRST_SEED = 1_000_000  # seeds below are for training and tuning
FILM_SIZE = (240, 320)  # height, width

_world: World      # one of each in every worker process
_runtime: Runtime


def main() -> None:
    """Parse the arguments, play what is not yet played, write report, videos and page."""
    args = _arguments()
    tasks = _task_names(args.tasks)
    if args.seed < FIRST_SEED:
        raise InputError(f"--seed {args.seed} is a training seed; evaluation seeds start at {FIRST_SEED}: "
                         f"give --seed {FIRST_SEED} or more")
    for name in ("episodes", "chains", "processes"):
        if getattr(args, name) < (0 if name == "chains" else 1):
            raise InputError(f"--{name} {getattr(args, name)}: expected a whole number of at least "
                             f"{0 if name == 'chains' else 1}")
    headless.require()
    threads = 1 if args.processes > 1 else 2
    Runtime(args.model, threads, "cpu")  # a model that cannot run is told before anything is written
    held_out = max(1, args.episodes // 4)
    settings = {"policy": args.model, "sha256": _hash(Path(args.model)), "seed": args.seed,
                "episodes": args.episodes, "held_out": held_out, "chains": args.chains, "tasks": tasks}
    jobs = plan(tasks, args.episodes, held_out, args.chains, args.seed)
    out = Path(args.out)
    with ProcessPoolExecutor(args.processes, multiprocessing.get_context("spawn"),
                             _open, (args.model, threads)) as pool:
        try:
            records = _play_all(pool, jobs, out, settings)
            films = choose_films(records, jobs)
            report = summarise(settings, records) | {"command": _command(args)}
            report["videos"] = _film_all(pool, films, out / "videos")
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            print(f"stopped; the same command goes on from {out / 'episodes.jsonl'}", file=sys.stderr)
            raise SystemExit(130) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    _write(out / "report.json", json.dumps(report, indent=1) + "\n")
    write_page(out)
    print(f"mean success {report['mean']:.1%}; report {out / 'report.json'}; page {out / 'index.html'}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sim.evaluate", description=__doc__)
    parser.add_argument("model", help="model folder, as policy.export writes it")
    parser.add_argument("--episodes", type=int, default=100, help="per task; a quarter per held-out run")
    parser.add_argument("--chains", type=int, default=50)
    parser.add_argument("--seed", type=int, default=FIRST_SEED)
    parser.add_argument("--tasks", default="all", help="all, or names with commas between them")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", default="out/eval")
    return parser.parse_args()


def _command(args: argparse.Namespace) -> str:
    """The command that makes this report again, with every default written out."""
    return shlex.join(["python", "-m", "sim.evaluate", args.model, "--episodes", str(args.episodes),
                       "--chains", str(args.chains), "--seed", str(args.seed), "--tasks", args.tasks,
                       "--out", args.out])


def _task_names(text: str) -> list[str]:
    names = list(TASKS) if text == "all" else text.split(",")
    for name in names:
        if name not in TASKS:
            raise unknown("task", name, TASKS)
    return names


def _hash(model: Path) -> str:
    return hashlib.sha256((model / "policy.onnx").read_bytes()).hexdigest()


def _open(model: str, threads: int) -> None:
    """In a worker: load world and policy once; Ctrl-C is the parent's business."""
    global _world, _runtime
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _world, _runtime = World(), Runtime(model, threads, "cpu")


def _play(job: Job) -> dict[str, Any]:
    return play(job, _world, _runtime)


def _film(job: Job, path: Path) -> dict[str, Any]:
    """In a worker: play a job again from its seed, this time filmed."""
    said: list[str] = []

    def watch() -> None:
        film.add(_world.render("show", *FILM_SIZE), said[-1])

    with Video(path) as film:
        record = play(job, _world, _runtime, lambda _, text: said.append(text), watch)
    success = record["done"] == len(record["given"]) if job.run == "chain" else record["success"]
    return {"task": job.task or "chain", "seed": job.seed, "start": job.start, "success": success,
            "instruction": " → ".join(said), "file": f"{path.parent.name}/{path.name}"}


def _play_all(pool: ProcessPoolExecutor, jobs: list[Job], out: Path,
              settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Every record, in the order of `jobs`: read from an earlier run where it is there, else played."""
    path = out / "episodes.jsonl"
    done = {_key(record): record for record in _resume(path, out / "settings.json", settings)}
    left = [job for job in jobs if _key(asdict(job)) not in done]
    with _write_errors(path), path.open("a") as log:
        progress = tqdm(total=len(jobs), initial=len(jobs) - len(left), unit="episode", smoothing=0.05)
        with progress:
            futures = [pool.submit(_play, job) for job in left]
            for future in as_completed(futures):
                record = future.result()
                log.write(json.dumps(record) + "\n")
                log.flush()
                done[_key(record)] = record
                progress.update()
    return [done[_key(asdict(job))] for job in jobs]


def _key(record: dict[str, Any]) -> tuple[str, int]:
    return record["run"], record["seed"]


def _resume(path: Path, settings_path: Path, settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The records of an earlier run of the same evaluation; `InputError` if it was another one."""
    if settings_path.exists():
        earlier = json.loads(settings_path.read_text())
        if earlier != settings:
            differ = ", ".join(f"{k} {earlier.get(k)!r} there, {v!r} asked for"
                               for k, v in settings.items() if earlier.get(k) != v)
            raise InputError(f"{path.parent} holds another evaluation ({differ}); "
                             "give another --out, or remove that folder")
    elif path.exists():
        raise InputError(f"{path} is there without its settings.json; "
                         "give another --out, or remove that folder")
    _write(settings_path, json.dumps(settings, indent=1) + "\n")
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    whole = [line for line in lines if line.endswith("\n")]  # the last one may have been cut short by a kill
    if whole != lines:
        _write(path, "".join(whole))
    return map(json.loads, whole)


def _film_all(pool: ProcessPoolExecutor, films: Iterable[tuple[str, Job]],
              folder: Path) -> list[dict[str, Any]]:
    with _write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    futures = [pool.submit(_film, job, folder / f"{name}.mp4") for name, job in films]
    return [f.result() for f in tqdm(futures, desc="videos", unit="video")]


def _write(path: Path, text: str) -> None:
    """Write aside, then rename."""
    with _write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(path.suffix + ".part")
        aside.write_text(text)
        aside.replace(path)


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    """A disk that is full or not ours is the user's problem, told as a sentence."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror or error}); make room or give another --out; "
                         "the same command goes on where it stopped") from None


if __name__ == "__main__":
    sys.exit(exit_code(main))
