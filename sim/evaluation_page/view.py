"""What differs from one kind of evaluation to the next: its jobs, its episodes as rows, its figures as HTML."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim.evaluation_page.row import Row

Record = dict[str, Any]
Film = Callable[[Any, Path], None]  # plays a job again and films it


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page."""

    heading: str
    remark: str
    html: str


@dataclass(frozen=True, slots=True)
class View:
    """What the page shows above the episodes."""

    heading: str
    remark: str
    tiles: list[tuple[str, str, str]] = field(default_factory=list)  # name, figure, remark
    sections: list[Section] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of evaluation, as `sim.evaluate` plays it."""

    jobs: Callable[[Record], list[Any]]  # of its settings
    key: tuple[str, ...]  # fields of a job, and of its record, that identify it
    play: Callable[[Any], Record]  # in a worker: plays a job; its record, with "curves"
    row: Callable[[Record], Row | None]  # of a record; None: it was not played
    view: Callable[[Record], View]  # of its report
    markdown: Callable[[Record], str]  # of its report
    prepare: Callable[
        [Record, int], tuple[Callable[..., None], tuple[Any, ...]]
    ]  # of a worker, by settings and threads
    film: Film  # in a worker
