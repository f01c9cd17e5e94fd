"""Curves of episodes in scripts that a page loads from disk when an episode is opened.

A page from disk may not read other files, except scripts. Each script has the episodes of GROUP jobs, one a line:

    curves/3.js    curves(301, {...});      written when episode 301 is over; a line that comes again replaces the first
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = "curves"
GROUP = 100  # episodes of a file
MOST_BYTES = 8_000_000  # of all curves
LEAST = 20  # points of an episode

Curves = dict[str, Any]  # as Trace.curves


class CurveFiles:
    """Writes the curves of `episodes` episodes; what a stopped run has written stays, but for a line cut short."""

    def __init__(self, folder: Path, episodes: int) -> None:
        self._folder, self._bytes = folder / FOLDER, MOST_BYTES // max(1, episodes)
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob("*.js"):
            lines = path.read_text().splitlines(keepends=True)
            if lines and not lines[-1].endswith("\n"):
                path.write_text("".join(lines[:-1]))

    def write(self, number: int, curves: Curves) -> None:
        """Append the curves of one episode, which has at least one control step."""
        append(self._folder, number, script(packed(curves, self._bytes)))


def append(folder: Path, number: int, text: str) -> None:
    """Append packed curves, as JSON, to the file of an episode's group."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{number // GROUP}.js").open("a") as file:
        file.write(f"curves({number}, {text});\n")


def lines(folder: Path) -> Iterator[tuple[int, str]]:
    """Number and packed curves, as JSON, of each episode of an evaluation's folder."""
    for path in sorted((folder / FOLDER).glob("*.js")):
        for line in path.read_text().splitlines():
            number, _, rest = line.removeprefix("curves(").partition(", ")
            yield int(number), rest.removesuffix(");")


def packed(curves: Curves, most: int) -> Curves:
    """Set-points as bytes between the lowest and the highest of the episode, every `stride` steps, to fit in `most`."""
    actions = np.array(curves["actions"], ndmin=2)
    steps, values = len(curves["actions"]), actions.shape[1]
    points = max(LEAST, most * 3 // 4 * 3 // 4 // max(1, values))  # of base64, and a quarter for the rest
    stride = max(1, -(-steps // points))
    low = actions.min(0)
    span = np.maximum(actions.max(0) - low, 1e-9)
    scaled = np.rint(255 * (actions[::stride] - low) / span).astype(np.uint8)
    return curves | {
        "actions": base64.b64encode(scaled.tobytes()).decode(),
        "low": [round(float(v), 4) for v in low],
        "span": [round(float(v), 5) for v in span],
        "stride": stride,
        "steps": steps,
    }


def script(content: object) -> str:
    """JSON that may stand in a script of a page."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
