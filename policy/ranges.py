"""Ranges of the numbers in settings, each beside its field: `dropout: float = field(default=0.1, metadata=PART)`.

A whole number without one is a count or a size, from 1 on; any other number is not negative.
"""

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any, NamedTuple

from policy.errors import InputError

MOST = 10_000_000_000  # of any whole number: what is computed of it, such as the seed of a step, has 64 bits


class Range(NamedTuple):
    """Which numbers a setting may be, in words and as a question."""

    expected: str
    holds: Callable[[float], bool]


def at_least(least: int) -> dict[str, Range]:
    """From a whole number on."""
    return {"range": Range(f"at least {least}", lambda number: number >= least)}


SIZE = at_least(1)
NOT_NEGATIVE = {"range": Range("a number that is not negative", lambda number: number >= 0)}
POSITIVE = {"range": Range("a number that is positive", lambda number: number > 0)}
SHARE = {"range": Range("a number from 0 to 1", lambda number: 0 <= number <= 1)}
PART = {"range": Range("a number from 0 to 1, and not 1", lambda number: 0 <= number < 1)}  # something is left
ANY = {"range": Range("a number", lambda number: True)}


def check(settings: Any, where: str) -> None:
    """`InputError` for a number in a dataclass that is out of its range."""
    for field in fields(settings):
        check_number(getattr(settings, field.name), f"{where}: {field.name}", field.metadata)


def check_number(number: Any, where: str, metadata: Any = None) -> None:
    """The same for one value; what is no number has no range."""
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        return
    whole = isinstance(number, int)
    expected, holds = (metadata or {}).get("range") or (SIZE if whole else NOT_NEGATIVE)["range"]
    if not whole and not math.isfinite(number):
        raise InputError(f"{where}: got {number!r}, expected a finite number; correct it")
    if not holds(number):
        raise InputError(f"{where}: got {number!r}, expected {expected}; correct it")
    if whole and number > MOST:
        raise InputError(f"{where}: got {number}, expected at most {MOST}; correct it")
