"""The losses of a run, as numbers (losses.csv) and as a picture (losses.png)."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from policy import folders

THEN = "free space and run the same command again: it continues from the last complete checkpoint"


class Curves:
    """Mean losses since the last row of the table; a resumed run has neither gaps nor duplicates.

    `InputError` where they cannot be written, as on a full disk.
    """

    def __init__(self, run: Path) -> None:
        self.table, self.picture = run / "losses.csv", run / "losses.png"
        self.window: list[dict[str, float]] = []  # losses of the steps since the last row
        self.smooth = float("nan")

    def resume(self, step: int, window: list[dict[str, float]]) -> None:
        """Remove the rows after a step and restore the window that the checkpoint of that step holds."""
        self.window = window
        if self.table.exists():
            with _aside(self.table) as aside:
                whole = [line for line in self.table.read_text().splitlines(keepends=True) if line.endswith("\n")]
                header, *rows = whole or [""]
                kept = [row for row in rows if int(row.split(",")[0]) <= step]
                aside.write_text("".join([header, *kept]))

    def add(self, losses: dict[str, float]) -> None:
        """The losses of one step."""
        self.window.append(losses)
        loss = losses["loss"]
        self.smooth = loss if self.smooth != self.smooth else 0.98 * self.smooth + 0.02 * loss

    def write(self, step: int, samples: int, seconds: float, validation: float | None) -> None:
        """Append one row: the means since the last."""
        means = {name: sum(losses[name] for losses in self.window) / len(self.window) for name in self.window[0]}
        row: dict[str, object] = {"step": step, "samples": samples, "seconds": round(seconds, 1)}
        row |= {name: f"{mean:.9g}" for name, mean in means.items()}
        row["validation"] = "" if validation is None else f"{validation:.9g}"
        self.window = []
        new = not self.table.exists() or not self.table.stat().st_size
        with folders.writing(self.table, THEN), self.table.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)

    def draw(self) -> None:
        """Draw the rows written so far."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib.figure import Figure

        if not self.table.exists():
            return
        with self.table.open() as file:
            rows = list(csv.DictReader(file))
        if not rows:
            return
        figure = Figure((8, 4.5), layout="constrained")
        axes = figure.add_subplot(xlabel="samples", ylabel="loss (normalised)", yscale="log")
        for name in list(rows[0])[3:]:
            points = [(int(row["samples"]), float(row[name])) for row in rows if row[name]]
            if points:
                x, y = zip(*points, strict=True)
                axes.plot(x, y, label=name, linewidth=1, marker="o" if name == "validation" else None)
        axes.grid(alpha=0.3, which="both")
        axes.legend()
        with _aside(self.picture) as aside:
            figure.savefig(aside, format="png", dpi=120)


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A file to write, which takes the place of `path` at the end; half of one is not left to keep the disk full."""
    part = path.with_suffix(".part")
    with folders.writing(path, THEN):
        try:
            yield part
            part.rename(path)
        finally:
            part.unlink(missing_ok=True)
