"""pyarrow and PyAV, which only LeRobot data sets need: the extra `lerobot`."""

from importlib import import_module
from typing import Any

from policy.errors import InputError


def package(name: str) -> Any:
    """A module of theirs; `InputError` where it is not installed."""
    try:
        return import_module(name)
    except ImportError:
        raise InputError(
            f"a LeRobot data set is read and written with {name.split('.')[0]}, which is not here; install it with "
            "`pip install pyarrow av`"
        ) from None
