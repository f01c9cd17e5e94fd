"""Counts under names that messages may choose: few enough, and short enough, for a status message."""

from collections.abc import Iterator, Mapping

KEYS = 64
LENGTH = 100
OTHERS = "others"


class BoundedCounter(Mapping[str, int]):
    """Name -> count, for at most `KEYS` names; what would be one name too many counts as `OTHERS`."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, name: str, count: int = 1) -> None:
        """Count something; the name is made printable and cut to `LENGTH` characters."""
        key = printable(name)
        if key not in self._counts and len(self._counts) >= KEYS - 1:
            key = OTHERS
        self._counts[key] = self._counts.get(key, 0) + count

    def update(self, counts: Mapping[str, int]) -> None:
        """Add the counts of another counter."""
        for name, count in counts.items():
            self.add(name, count)

    def total(self) -> int:
        """The sum of all counts."""
        return sum(self._counts.values())

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def __len__(self) -> int:
        return len(self._counts)


def printable(text: str, length: int = LENGTH) -> str:
    """The text without control characters and lone surrogates, cut to a number of characters."""
    cut = text if len(text) <= length else text[: length - 3] + "..."
    return cut if cut.isprintable() else "".join(c if c.isprintable() else "?" for c in cut)
