"""The rows of one episode in its data file, read a few at a time."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from policy.data.lerobot.episodes import Place
from policy.data.lerobot.packages import package
from policy.data.lerobot.tables import damaged, numbers, open_table
from policy.errors import InputError

AT_ONCE, NUMBERS_AT_ONCE = 32, 65536  # rows with pictures, and without


class Rows:
    """`place.length` rows; `InputError` where the file has others or is damaged."""

    def __init__(self, place: Place) -> None:
        self.place, self._file = place, open_table(place.data)
        if place.length < 1:
            raise InputError(f"{place.data}: episode {place.number} has no frame; record it again, or leave it out")
        self.names = set(self._file.schema_arrow.names)
        mine = np.flatnonzero(np.concatenate([[], *self._columns(["episode_index"], 0, None)]) == place.number)
        if len(mine) != place.length or (len(mine) and mine[-1] - mine[0] + 1 != len(mine)):
            raise InputError(
                f"{place.data} has {len(mine)} rows of episode {place.number}, and meta/episodes names {place.length} "
                "in a row; copy the data set again, or take it away"
            )
        self._first = int(mine[0]) if len(mine) else 0

    def __getitem__(self, name: str) -> np.ndarray:
        """A column of numbers or texts (N,), or of vectors (N, n)."""
        end = self._first + self.place.length
        return np.concatenate(list(self._columns([name], self._first, end)))

    def batches(self, names: Sequence[str]) -> Iterator[dict[str, list[Any]]]:
        """Columns as Python values, a few rows at a time."""
        for batch in self._batches(list(names), self._first, self._first + self.place.length, AT_ONCE):
            yield {name: batch.column(name).to_pylist() for name in names}

    def _columns(self, names: list[str], first: int, end: int | None) -> Iterator[np.ndarray]:
        for batch in self._batches(names, first, end, NUMBERS_AT_ONCE):
            try:
                yield numbers(batch.column(names[0]))
            except ValueError as error:
                raise InputError(
                    f"{self.place.data}: {names[0]} of episode {self.place.number}: {error}; expected numbers, or "
                    "lists of one length; mend the data set, or take it away"
                ) from None

    def _batches(self, names: list[str], first: int, end: int | None, size: int) -> Iterator[Any]:
        """Record batches of the rows first .. end of the file, read from the row groups that hold them."""
        arrow, meta = package("pyarrow"), self._file.metadata
        missing = [name for name in names if name not in self.names]
        if missing:
            raise InputError(f"{self.place.data} has no column {', '.join(missing)}; copy the data set again")
        end = meta.num_rows if end is None else end
        begin = 0
        for group in range(meta.num_row_groups):
            after = begin + meta.row_group(group).num_rows
            if begin < end and first < after:
                at = begin
                try:
                    for batch in self._file.iter_batches(size, row_groups=[group], columns=names):
                        low, high = max(first - at, 0), min(end - at, len(batch))
                        if low < high:
                            yield batch.slice(low, high - low)
                        at += len(batch)
                except (arrow.ArrowException, OSError) as error:
                    raise damaged(self.place.data, error) from None
            begin = after
