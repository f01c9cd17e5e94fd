"""Films an episode of an evaluation again from its seed, and puts the film on its page; of another there is the film.

python -m sim.film out/eval 1000017
python -m sim.film out/shift 1000003 --condition noise
python -m sim.film out/eval 1234567 --task put_red       a seed that was not played: that task, begun from this seed
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from policy import folders
from policy.errors import InputError, exit_code, unknown
from policy.running.models import find_model
from policy.running.policy_client import SCHEMES
from sim import headless
from sim.evaluation_kinds import kind_of
from sim.evaluation_page.page import VIDEOS
from sim.evaluation_page.row import Row
from sim.evaluation_page.view import Kind, Record
from sim.evaluation_page.written import read_records, read_settings, write_errors, write_page
from sim.evaluation_run import fingerprint
from sim.initial_states import check_seed

Played = list[tuple[Row, Any]]  # rows with their jobs


def film(folder: Path, seed: int, condition: str | None, task: str | None) -> list[Path]:
    """Film the episodes of a seed and write the page again; the paths. `InputError` where there is no such episode."""
    settings = read_settings(folder)
    kind = kind_of(settings)
    model = settings["policy"]
    if not model.startswith(SCHEMES) and fingerprint(find_model(model)) != settings["sha256"]:
        raise InputError(f"{model} is not the policy that {folder} evaluated; give the evaluation's command again")
    wanted = _wanted(_played(kind, settings, folder), seed, condition, task)
    prepare, arguments = kind.prepare(settings, 2)
    prepare(*arguments)
    paths = [folder / VIDEOS / row.film for row, _ in wanted]
    with folders.claimed(folder):
        with write_errors(folder / VIDEOS):
            (folder / VIDEOS).mkdir(exist_ok=True)
            for path, (_, job) in zip(paths, wanted, strict=True):
                kind.film(job, path)
        write_page(kind, folder)
    return paths


def _played(kind: Kind, settings: Record, folder: Path) -> Played:
    """All that can be filmed: of methods side by side the film is ours."""
    pairs = zip(read_records(kind, settings, folder), kind.jobs(settings), strict=True)
    rows = [(row, job) for record, job in pairs if (row := kind.row(record)) is not None]
    return [(row, job) for row, job in rows if row.method in ("", "ours")]


def _wanted(played: Played, seed: int, condition: str | None, task: str | None) -> Played:
    """The episodes of a seed; of a task with a seed that was not played, the first of its episodes with that seed."""
    if not played:
        raise InputError("no episode of this evaluation was played, so none can be filmed")
    for name, value, of in (
        ("condition", condition, lambda row: row.condition),
        ("task", task, lambda row: row.task),
    ):
        played = _only(played, name, value, of)
    here = [(row, job) for row, job in played if row.seed == seed]
    if here or task is None:
        if not here:
            raise InputError(
                f"no episode has seed {seed}; give one of {played[0][0].seed} to {played[-1][0].seed}, "
                "or --task for another seed"
            )
        return here
    row, job = played[0]
    return [(replace(row, seed=seed), replace(job, seed=seed))]


def _only(played: Played, name: str, value: str | None, of: Callable[[Row], str]) -> Played:
    if value is None:
        return played
    known = list(dict.fromkeys(of(row) for row, _ in played))
    if value not in known:
        raise unknown(name, value, known)
    return [(row, job) for row, job in played if of(row) == value]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m sim.film", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="output folder of sim.evaluate")
    parser.add_argument("seed", type=int)
    parser.add_argument("--condition", help="a run, phase, shift or latency, as the page names it; default: all")
    parser.add_argument("--task", help="a task, as the page names it; needed for a seed that was not played")
    args = parser.parse_args()
    check_seed(args.seed)
    headless.require()
    for path in film(args.folder, args.seed, args.condition, args.task):
        print(path)


if __name__ == "__main__":
    sys.exit(exit_code(main))
