"""Films of an evaluation: one success of each task and the failures, played again from their seeds."""

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sim.evaluation_page.page import VIDEOS
from sim.evaluation_page.row import choose_films
from sim.evaluation_page.view import Kind, Record
from sim.evaluation_page.written import write_errors

MOST_BYTES = 17_000_000  # of all films, so that a page stays below 30 MB


def film_missing(
    pool: Executor, kind: Kind, jobs: Sequence[Any], records: Sequence[Record], out: Path, most: int
) -> None:
    """Film what `choose_films` chooses, at most `most`, and is not there yet; ends early where films get too large."""
    rows = [(row, job) for record, job in zip(records, jobs, strict=True) if (row := kind.row(record)) is not None]
    folder = out / VIDEOS
    chosen = [
        (folder / rows[number][0].film, rows[number][1]) for number in choose_films([row for row, _ in rows], most)
    ]
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    futures = [pool.submit(_film, kind.film, job, path) for path, job in chosen if not path.exists()]
    made = [future.result() for future in tqdm(futures, desc="films", unit="film")]
    if left := made.count(False):
        print(f"{left} films were left out, as those before have {MOST_BYTES // 10**6} MB; film one with sim.film")


def _film(film: Any, job: Any, path: Path) -> bool:
    """In a worker: film a job, unless there is enough already."""
    enough = sum(one.stat().st_size for one in path.parent.glob("*.mp4")) > MOST_BYTES
    if not enough:
        film(job, path)
    return not enough
