"""What is wrong with recorded data: one thing a finding, and the findings of many bags in few lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

LISTED = 3  # bags that a summary names


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: how badly, what, where with which figures, and what to do."""

    severity: Literal["error", "warning"]  # an error would be learned
    what: str
    figures: str  # what arrived, and what was expected
    do: str  # "" where the figures say it
    at: float | None = None  # s after the bag's first message where it begins, None where it has no place

    def __str__(self) -> str:
        where = "" if self.at is None else f" (from {self.at:.1f} s)"
        return f"{self.what}: {self.figures}{where}" + (f"; {self.do}" if self.do else "")

    def paragraph(self) -> str:
        """What, with which figures, and what to do, each on a line."""
        where = "" if self.at is None else f"from {self.at:.1f} s: "
        lines = [f"\n{self.severity}: {self.what}", f"    {where}{self.figures}"]
        return "\n".join(lines + ([f"    -> {self.do}"] if self.do else []))


def errors(findings: Sequence[Finding]) -> list[Finding]:
    """Those that would be learned."""
    return [finding for finding in findings if finding.severity == "error"]


def merge(findings: Sequence[tuple[str, Finding]]) -> list[Finding]:
    """(bag, finding) of many bags as one finding a kind, errors first."""
    kinds: dict[tuple[str, str, str], list[str]] = {}
    for bag, one in findings:
        name = bag if one.at is None else f"{bag} at {one.at:.1f} s"
        kinds.setdefault((one.severity, one.what, one.do), []).append(f"{name}: {one.figures}" if bag else one.figures)
    merged = []
    for (severity, what, do), cases in sorted(kinds.items()):
        more = f"; and {len(cases) - LISTED} more bags" if len(cases) > LISTED else ""
        figures = "; ".join(cases[:LISTED]) + more
        merged.append(Finding("error" if severity == "error" else "warning", what, figures, do))
    return merged
