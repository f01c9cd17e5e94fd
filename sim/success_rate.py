"""Success rates with their confidence intervals."""

from collections.abc import Iterable
from math import sqrt
from typing import Any


def wilson_interval(successes: float, episodes: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % score interval of a rate (Wilson, 1927); unlike the normal one it has a width at 0 and at 1."""
    if episodes == 0:
        return 0.0, 1.0
    p, n = successes / episodes, episodes
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def success_rate(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Episodes, successes, rate and its interval (low, high)."""
    results = [bool(record["success"]) for record in records]
    n, successes = len(results), sum(results)
    low, high = wilson_interval(successes, n)
    return {"episodes": n, "successes": successes, "rate": successes / max(1, n), "low": low, "high": high}
