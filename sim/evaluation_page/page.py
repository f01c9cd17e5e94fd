"""Writes index.html: headings, figures and charts, then the episodes to filter, sort and open."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim import html_page
from sim.evaluation_page import curve_files
from sim.evaluation_page.row import Row
from sim.evaluation_page.view import View
from sim.worlds import load
from sim.worlds.interface import RATE

VIDEOS = "videos"
LABELS = {
    "outcome": "outcome",
    "seed": "seed",
    "task": "task",
    "condition": "run",
    "method": "method",
    "start": "start",
    "seconds": "s",
    "other_seconds": "s of B",
    "instruction": "instruction",
    "note": "",
}
FILTERS = ("outcome", "task", "condition", "method", "start")
Shown = dict[str, Any]  # an episode as the script reads it


@dataclass(frozen=True, slots=True)
class Source:
    """Where the curves of the episodes are."""

    title: str
    folder: str = curve_files.FOLDER


def write(
    path: Path,
    view: View,
    subtitle: str,
    command: str,
    world: str,
    rows: Sequence[Shown],
    sources: Sequence[Source],
    film_command: str,
) -> None:
    """Write the page; `film_command` is that of an episode without its seed."""
    contract = load(world).contract()
    data = {
        "rows": rows,
        "columns": {name: label for name, label in LABELS.items() if _tells(rows, name)},
        "filters": [name for name in FILTERS if len({row.get(name, "") for row in rows}) > 1],
        "sources": [{"title": source.title, "folder": source.folder} for source in sources],
        "group": curve_files.GROUP,
        "step": 1 / RATE,
        "names": list(contract.spec.action),
        "grippers": [bool(one) for one in contract.grippers],
        "film": film_command,
        "conditions": len({row["seed"] for row in rows}) < len({(row["seed"], row["condition"]) for row in rows}),
    }
    sections = "".join(
        f'<section><h2>{html.escape(s.heading)}</h2><p class="soft">{html.escape(s.remark)}</p>'
        f'<div class="panel">{s.html}</div></section>'
        for s in view.sections
    )
    html_page.write(
        path,
        "evaluation.html",
        title=html.escape(view.heading),
        remark=html.escape(view.remark),
        subtitle=html.escape(subtitle),
        command=html.escape(command),
        tiles=html_page.tiles(view.tiles),
        sections=sections,
        look=(html_page.ASSETS / "evaluation.css").read_text(),
        data=curve_files.script(data),
        curves=(html_page.ASSETS / "episode_curves.js").read_text(),
        script=(html_page.ASSETS / "evaluation.js").read_text(),
    )


def _tells(rows: Sequence[Shown], name: str) -> bool:
    """Whether a column has anything to tell; a method or start that is the same everywhere has not."""
    values = {row.get(name, "") for row in rows}
    return len(values) > 1 if name in ("method", "start") else values != {""}


def shown(row: Row, folder: Path) -> Shown:
    """An episode as the script reads it; its film where there is one in the folder."""
    film = f"{VIDEOS}/{row.film}"
    filmed = row.method in ("", "ours") and (folder / film).exists()
    return row.shown() | {"outcome": "success" if row.success else "failure", "films": [film if filmed else ""]}
