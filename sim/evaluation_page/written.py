"""What the folder of an evaluation holds: settings, records and report; the page is written from them alone."""

import json
import shlex
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

from policy import folders
from policy.errors import InputError
from sim.evaluation_page import curve_files, page
from sim.evaluation_page.view import Kind, Record

LOG, SETTINGS, REPORT, PAGE = "episodes.jsonl", "settings.json", "report.json", "index.html"


def read_settings(folder: Path) -> Record:
    """What was evaluated; `InputError` where the folder holds no evaluation."""
    return _read(folder, SETTINGS)


def read_report(folder: Path) -> Record:
    """report.json of a folder; `InputError` where it cannot be read."""
    return _read(folder, REPORT)


def read_records(kind: Kind, settings: Record, folder: Path) -> list[Record]:
    """The record of each job, in their order; `InputError` where one is missing."""

    def identity(of: Record) -> tuple[object, ...]:
        return tuple(of[name] for name in kind.key)

    try:
        jobs = kind.jobs(settings)
    except KeyError as error:
        raise InputError(f"{folder / SETTINGS} has no {error}, as those of an older version; evaluate again") from None
    try:
        played = {identity(record): record for record in map(json.loads, (folder / LOG).read_text().splitlines())}
        return [played[identity(asdict(job))] for job in jobs]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{folder / LOG} is not complete ({error!r}); give the command of the evaluation again, which continues"
        ) from None


def write_page(kind: Kind, folder: Path) -> None:
    """Write index.html from what the folder holds; `InputError` where that cannot be read."""
    settings, report = read_settings(folder), read_report(folder)
    rows = [(number, kind.row(record)) for number, record in enumerate(read_records(kind, settings, folder))]
    drawn = {number for number, _ in curve_files.lines(folder)}
    with write_errors(folder):
        page.write(
            folder / PAGE,
            kind.view(report),
            f"{settings['policy']}, world {settings['world']}, weights {settings['sha256'][:12]}",
            report["command"],
            settings["world"],
            [
                page.shown(row, folder) | {"curves": [number if number in drawn else None]}
                for number, row in rows
                if row is not None
            ],
            [page.Source("")],
            f"python -m sim.film {shlex.quote(str(folder))}",
        )


def write_json(path: Path, content: Record) -> None:
    """Write a JSON file under another name, then rename it."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file under another name, then rename it; `InputError` where that is not possible."""
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(path.suffix + ".part")
        part.write_text(text)
        part.replace(path)


def read_lines(path: Path, lines: Iterable[str]) -> list[Record]:
    """The records of a log, one a line; `InputError` names the line that cannot be read."""
    records: list[Record] = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise InputError(
                f"{path}, line {number}, cannot be read ({error}); remove that line to play its episode again"
            ) from None
    return records


def write_errors(path: Path) -> AbstractContextManager[None]:
    """Turn a full disk or a missing permission into an `InputError`."""
    return folders.writing(path, "free space or give another --out; the same command continues where it stopped")


def _read(folder: Path, name: str) -> Record:
    try:
        content: Record = json.loads((folder / name).read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} has no readable {name} ({error}); make one with `python -m sim.evaluate <model> --out {folder}`"
        ) from None
    return content
