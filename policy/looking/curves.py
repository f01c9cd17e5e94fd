"""Curves of an episode as SVG: its state, its actions, contact and mode."""

import html
from collections.abc import Sequence

import numpy as np

from policy.looking.recording import LookedEpisode
from policy.spec import MODES

WIDTH, HEIGHT, TOP = 640, 120, 14  # pixels
POINTS = 120  # of a curve
COLOURS = 8  # classes c0 .. c7 of the style


def ranges(episodes: Sequence[LookedEpisode]) -> tuple[np.ndarray, np.ndarray]:
    """Lowest value and range of each value of the actions (A,), over all episodes: one scale for all curves."""
    low = np.min([episode.actions.min(0) for episode in episodes], axis=0)
    high = np.max([episode.actions.max(0) for episode in episodes], axis=0)
    return low, np.maximum(high - low, 1e-6)


def curves(
    episode: LookedEpisode, names: Sequence[str], base: Sequence[int | None], low: np.ndarray, span: np.ndarray
) -> str:
    """Each value of the action: the set-point as a line, what is measured of it dotted; contact is shaded."""
    end = max(float(episode.seconds[-1]), 1e-6)
    rows = np.unique(np.linspace(0, len(episode.seconds) - 1, POINTS).round().astype(int))
    xs = WIDTH * episode.seconds[rows] / end
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 2 * TOP}" role="img" aria-label="set-points and what is measured">']
    parts += [
        f'<rect class="{name}" x="{WIDTH * a / end:.1f}" y="{TOP}" width="{WIDTH * (b - a) / end:.1f}" '
        f'height="{HEIGHT}"><title>{name}</title></rect>'
        for name, a, b in _spans(episode)
    ]
    for i, (name, place) in enumerate(zip(names, base, strict=True)):
        measured = () if place is None else (("measured", episode.state[rows, place]),)
        for kind, values in (("asked", episode.actions[rows, i]), *measured):
            ys = TOP + HEIGHT * (1 - np.clip((values - low[i]) / span[i], -0.1, 1.1))
            line = " ".join(f"{x:.0f},{y:.0f}" for x, y in zip(xs, ys, strict=True))
            title = html.escape(f"{name}, {kind}")
            parts.append(f'<polyline class="{kind} c{i % COLOURS}" points="{line}"><title>{title}</title></polyline>')
    parts.append(f'<text x="{WIDTH}" y="{HEIGHT + 2 * TOP - 2}" text-anchor="end">{end:.1f} s</text></svg>')
    return "".join(parts)


def _spans(episode: LookedEpisode) -> list[tuple[str, float, float]]:
    """Class, beginning and end [s] of each time of contact, and of each mode but forward."""
    marks = [] if episode.contact is None else [("contact", episode.contact)]
    if episode.mode is not None:
        marks += [(mode, episode.mode == i) for i, mode in enumerate(MODES) if i]
    found = []
    for name, mask in marks:
        edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
        times = np.append(episode.seconds, episode.seconds[-1])
        found += [(name, float(times[a]), float(times[b])) for a, b in edges.reshape(-1, 2)]
    return found
