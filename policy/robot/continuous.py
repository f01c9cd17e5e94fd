"""Joints that turn without end, and whose driver begins anew at each half turn.

    driver   ... 3.0  3.1 -3.1 -3.0 ...      in the policy   ... 3.0  3.1  3.18  3.28 ...

The state counts on from its newest sample; the first one is as the driver gives it. A command is moved by whole turns
to within half a turn of the state: both then count alike, however often either wraps.
`turns` (n,) is the length of a turn in the unit of each value, 0 for a value that does not wrap.
"""

import numpy as np


def near(values: np.ndarray, reference: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Values (..., n) moved by whole turns to within half a turn of `reference` (..., n)."""
    moved: np.ndarray = values - turns * np.round((values - reference) / np.where(turns > 0, turns, 1.0))
    return moved


def counted_on(values: np.ndarray, reference: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Values (N, n), the first to within half a turn of `reference` (n,), each other of the one before it."""
    steps = np.diff(values, axis=0, prepend=reference[None])
    counted: np.ndarray = reference + np.cumsum(near(steps, np.zeros_like(reference), turns), axis=0)
    return counted
