"""Compares two evaluations episode by episode and writes one page.

python -m sim.compare out/before out/after --out out/compare

Both are of the same kind and world. Episodes are the same that began alike: same seed, task, start and condition.
"""

import argparse
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policy import folders
from policy.errors import InputError, exit_code
from sim.compare_view import Pair, apart, counted, p_value, view
from sim.evaluation_kinds import kind_of
from sim.evaluation_page import curve_files, page
from sim.evaluation_page.row import MOST_FILMS, Row
from sim.evaluation_page.view import Record
from sim.evaluation_page.written import PAGE, read_records, read_settings, write_errors

FOLDERS = ("a", "b")  # ends of the folders of curves and films
MOST_CURVES, MOST_FILM_BYTES = 8_000_000, 17_000_000  # of both together


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One of the two."""

    folder: Path
    settings: Record
    rows: dict[tuple[Any, ...], tuple[int, Row]]  # number and row of each episode, by what it began with

    @classmethod
    def read(cls, folder: Path) -> "Evaluation":
        """`InputError` where the folder holds no complete evaluation."""
        settings = read_settings(folder)
        kind = kind_of(settings)
        rows = [(number, kind.row(record)) for number, record in enumerate(read_records(kind, settings, folder))]
        return cls(folder, settings, {row.key: (number, row) for number, row in rows if row is not None})


def compare(first: Path, second: Path, out: Path) -> list[Pair]:
    """Write the page; the episodes of both. `InputError` where the two have no episode in common."""
    a, b = both = Evaluation.read(first), Evaluation.read(second)
    if kind_of(a.settings) is not kind_of(b.settings) or a.settings["world"] != b.settings["world"]:
        raise InputError(f"{first} and {second} are evaluations of another kind or world; give two of the same")
    keys = [key for key in a.rows if key in b.rows]
    if not keys:
        raise InputError(f"{first} and {second} have no episode in common: give both the same --seed")
    folders.make_for_page(out)
    pairs = [Pair(a.rows[key][1], b.rows[key][1]) for key in keys]
    order = sorted(range(len(keys)), key=lambda i: pairs[i].a.success == pairs[i].b.success)  # what differs first
    with write_errors(out):
        films, drawn = [], []
        for end, one in zip(FOLDERS, both, strict=True):
            numbers, rows = zip(*(one.rows[key] for key in keys), strict=True)
            drawn.append(_curves(out / f"{curve_files.FOLDER}-{end}", one.folder, numbers, order))
            films.append(_films(out / f"{page.VIDEOS}-{end}", one.folder, rows, order))
        page.write(
            out / PAGE,
            view(*_names(first, second), pairs, (len(a.rows), len(b.rows))),
            f"A: {first}, {a.settings['policy']}; B: {second}, {b.settings['policy']}",
            shlex.join(["python", "-m", "sim.compare", str(first), str(second), "--out", str(out)]),
            a.settings["world"],
            [
                pair.shown() | {"films": [of[i] for of in films], "curves": [i if i in of else None for of in drawn]}
                for i, pair in enumerate(pairs)
            ],
            [page.Source(f"A: {first}", "curves-a"), page.Source(f"B: {second}", "curves-b")],
            "",
        )
    return pairs


def _names(first: Path, second: Path) -> tuple[str, str]:
    """The ends of both paths that tell them apart."""
    a, b = first.resolve().parts, second.resolve().parts
    count = next((n for n in range(1, min(len(a), len(b))) if a[-n] != b[-n]), 1)
    return str(Path(*a[-count:])), str(Path(*b[-count:]))


def _curves(folder: Path, source: Path, numbers: Sequence[int], order: Sequence[int]) -> set[int]:
    """Copy the curves of episodes with these numbers, in this order, until there are enough; their new numbers."""
    shutil.rmtree(folder, ignore_errors=True)
    packed, left, copied = dict(curve_files.lines(source)), MOST_CURVES // 2, set()
    for i in order:
        text = packed.get(numbers[i], "")
        left -= len(text)
        if text and left > 0:
            curve_files.append(folder, i, text)
            copied.add(i)
    return copied


def _films(folder: Path, source: Path, rows: Sequence[Row], order: Sequence[int]) -> list[str]:
    """Copy the films of episodes, in this order, until there are enough; the place of each on the page, "" for none."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    places, left, most = [""] * len(rows), MOST_FILM_BYTES // 2, MOST_FILMS // 2
    for i in order:
        film = source / page.VIDEOS / rows[i].film
        if most and rows[i].method in ("", "ours") and film.exists() and (left := left - film.stat().st_size) > 0:
            shutil.copy(film, folder / film.name)
            places[i], most = f"{folder.name}/{film.name}", most - 1
    return places


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m sim.compare", description=__doc__.splitlines()[0])
    parser.add_argument("first", type=Path, help="output folder of sim.evaluate: A")
    parser.add_argument("second", type=Path, help="another one: B")
    parser.add_argument("--out", type=Path, default=Path("out/compare"), help="folder of the page")
    args = parser.parse_args()
    pairs = compare(args.first, args.second, args.out)
    main = counted(pairs)
    alone, (p, how) = apart(main), p_value(main)
    print(
        f"{len(main)} episodes of both: {alone[0]} successes of A alone, {alone[1]} of B alone, "
        f"p {p} ({how}); page {args.out / PAGE}"
    )


if __name__ == "__main__":
    sys.exit(exit_code(main))
