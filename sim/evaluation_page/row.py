"""One line of the page for each episode, and which episodes are filmed."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

MOST_FILMS = 60


@dataclass(frozen=True, slots=True)
class Row:
    """An episode as the page shows it."""

    seed: int
    task: str  # "A → B" for a change of the instruction
    condition: str  # what tells apart the episodes of one seed: a run, a shift, a latency, a phase
    success: bool
    seconds: float | None  # until success or the end; None where it was not measured
    instruction: str
    start: str = ""
    method: str = ""
    note: str = ""
    filmed: bool = True  # whether its failure is filmed: not that of a control, which is meant to fail
    counted: bool = True  # whether it is of what the evaluation is about: not a control, nor a baseline
    layout: int | None = None  # where it is not that of the seed
    film_from: float = 0.0  # s of the episode at which its film begins

    @property
    def film(self) -> str:
        """Name of its film, without folder."""
        parts = (self.condition, self.task.replace("→", "to"), str(self.seed))
        return "-".join(re.sub(r"\W+", "_", part).strip("_") or "all" for part in parts) + ".mp4"

    @property
    def key(self) -> tuple[Any, ...]:
        """What it has in common with the episode of another evaluation that began as it did."""
        return self.condition, self.method, self.task, self.seed, self.layout, self.start

    def shown(self) -> dict[str, Any]:
        """What the page needs of it."""
        left_out = ("filmed", "counted")
        return {name: value for name, value in asdict(self).items() if value not in ("", None) and name not in left_out}


def choose_films(rows: Sequence[Row], most: int) -> list[int]:
    """Numbers of the rows that are filmed: one success of each task (of a change, the last one), then every failure.

    Where there are more failures than places, each condition and task gets one after the other.
    """
    successes: dict[str, int] = {}
    failures: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        if row.filmed and row.success:
            successes.setdefault(row.task.split("→")[-1].strip(), number)
        elif row.filmed:
            failures[row.condition, row.task].append(number)
    rounds = sorted((turn, n) for numbers in failures.values() for turn, n in enumerate(numbers))
    return [*successes.values(), *(number for _, number in rounds)][:most]
