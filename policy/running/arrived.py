"""What a program or a client gives, looked at before anything is computed with it."""

from reprlib import repr as shortened

import numpy as np


def numbers(value: object) -> np.ndarray | None:
    """Finite numbers as float32; None for all else: text, truth values, lists of different lengths, 1e300."""
    try:
        given = np.asarray(value)
    except (TypeError, ValueError):
        return None
    if given.dtype.kind not in "iuf":
        return None
    with np.errstate(over="ignore"):
        held = given.astype(np.float32, copy=False)
    return held if np.isfinite(held).all() else None


def is_whole(value: object) -> bool:
    """Whether it is a whole number, which a truth value is not."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def described(value: object) -> str:
    """What arrived, in a few characters."""
    if value is None:
        return "none"
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else shortened(value)
