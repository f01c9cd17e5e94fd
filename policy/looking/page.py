"""The page of recordings: figures, findings, and a card for each episode, the most unusual first."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from policy.data.contents_table import summary, table
from policy.data.findings import Finding, merge
from policy.looking.curves import curves, ranges
from policy.looking.quality import Quality
from policy.looking.recording import LookedEpisode, LookedRecording
from policy.robot.contract import Contract

ASSETS = Path(__file__).parent / "assets"
CARDS = 300  # episodes with pictures and curves; the table has all
WORST = 1e9  # for sorting: an outlier comes first


def write(
    path: Path,
    folder: str,
    contract: Contract,
    recordings: Sequence[LookedRecording],
    qualities: Sequence[Quality],
    passed_over: Sequence[Finding],
) -> None:
    """Write the page under another name, then rename it; `qualities` are those of all episodes in their order."""
    episodes = [episode for recording in recordings for episode in recording.episodes]
    ranked = sorted(zip(episodes, qualities, strict=True), key=lambda pair: _unusual(pair[1]), reverse=True)
    marks = {
        "folder": html.escape(folder),
        "tiles": _tiles(recordings, episodes, qualities),
        "findings": _findings(recordings, passed_over),
        "refused": "".join(_refused(recording) for recording in recordings if recording.contents is not None),
        "tasks": _tasks(episodes, qualities),
        "table": "".join(_row(episode, quality) for episode, quality in ranked),
        "cards": _cards(ranked[:CARDS], contract),
        "more": f"<p>{len(ranked) - CARDS} more episodes are in the table alone.</p>" if len(ranked) > CARDS else "",
        "legend": "".join(f"<span class=c{i % 8}>{html.escape(n)}</span>" for i, n in enumerate(contract.spec.action)),
    }
    page = (ASSETS / "look.html").read_text()
    for mark, text in marks.items():
        page = page.replace(f"{{{{{mark}}}}}", text)
    part = path.with_suffix(".html.part")
    part.write_text(page)
    part.replace(path)


def _unusual(quality: Quality) -> float:
    return (WORST if quality.outlier else 0.0) + (quality.divergence or 0.0)


def _tiles(
    recordings: Sequence[LookedRecording], episodes: Sequence[LookedEpisode], qualities: Sequence[Quality]
) -> str:
    seconds = sum(float(episode.seconds[-1]) for episode in episodes)
    figures = [
        ("recordings", str(len(recordings)), f"{sum(r.refused for r in recordings)} cannot be used"),
        ("episodes", str(len(episodes)), f"{sum(len(e.seconds) for e in episodes)} frames"),
        ("minutes", f"{seconds / 60:.1f}", f"median {_median(episodes):.1f} s an episode"),
        ("instructions", str(len({e.instruction for e in episodes})), f"{len({e.kind for e in episodes})} tasks"),
        ("outliers", str(sum(bool(q.outlier) for q in qualities)), "among episodes of their task"),
    ]
    return "".join(f"<div><b>{b}</b><span>{a}</span><small>{c}</small></div>" for a, b, c in figures)


def _median(episodes: Sequence[LookedEpisode]) -> float:
    return float(np.median([episode.seconds[-1] for episode in episodes])) if episodes else 0.0


def _findings(recordings: Sequence[LookedRecording], passed_over: Sequence[Finding]) -> str:
    found = merge([(recording.name, finding) for recording in recordings for finding in recording.findings])
    items = [
        f"<li class={one.severity}><b>{one.severity}: {html.escape(one.what)}</b>{html.escape(one.figures)}"
        + (f"<i>{html.escape(one.do)}</i>" if one.do else "")
        for one in [*found, *passed_over]
    ]
    return f"<ul>{''.join(items)}</ul>" if items else "<p>Nothing was found.</p>"


def _refused(recording: LookedRecording) -> str:
    assert recording.contents is not None
    held = html.escape(f"{summary(recording.contents)}\n{table(recording.contents)}")
    name = html.escape(recording.name)
    return f"<details><summary>{name} cannot be used: what it holds</summary><pre>{held}</pre></details>"


def _tasks(episodes: Sequence[LookedEpisode], qualities: Sequence[Quality]) -> str:
    rows = []
    for kind in sorted({episode.kind for episode in episodes}):
        of = [(e, q) for e, q in zip(episodes, qualities, strict=True) if e.kind == kind]
        words = len({e.instruction for e, _ in of})
        times = [float(e.seconds[-1]) for e, _ in of]
        rows.append(
            f"<tr><th scope=row>{html.escape(kind)}<td>{len(of)}<td>{words}<td>{np.median(times):.1f}"
            f"<td>{min(times):.1f} to {max(times):.1f}<td>{sum(bool(q.outlier) for _, q in of)}"
        )
    return "".join(rows)


def _row(episode: LookedEpisode, quality: Quality) -> str:
    name = html.escape(_name(episode))
    return (
        f'<tr><th scope=row><a href="#{name}">{name}</a><td>{html.escape(episode.instruction)}'
        f"<td>{episode.seconds[-1]:.1f}<td>{_number(quality.divergence)}<td>{_number(quality.diversity)}"
        f"<td>{html.escape(quality.outlier)}"
    )


def _cards(ranked: Sequence[tuple[LookedEpisode, Quality]], contract: Contract) -> str:
    if not ranked:
        return "<p>There is no episode.</p>"
    low, span = ranges([episode for episode, _ in ranked])
    spec = contract.spec
    return "".join(
        f'<article id="{html.escape(_name(episode))}"><h3>{html.escape(_name(episode))}</h3>'
        f"<q>{html.escape(episode.instruction)}</q>"
        + (f"<p class=outlier>stands out: {html.escape(quality.outlier)}</p>" if quality.outlier else "")
        + f"<div class=sheet>{''.join(map(_picture, episode.pictures))}</div>"
        + curves(episode, spec.action, spec.action_base, low, span)
        + "</article>"
        for episode, quality in ranked
    )


def _picture(jpeg: bytes) -> str:
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'


def _name(episode: LookedEpisode) -> str:
    return episode.recording + (f" {episode.number + 1}" if episode.number else "")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
