"""A field of any message, named by a dotted path with indices: pose.position.x, data[3], wrench.force.z.

Messages are duck-typed: those of rclpy and of rosbags have equal fields.
"""

import functools
import re
from collections.abc import Callable
from typing import Any

PATH = re.compile(r"[a-z]\w*(\[\d+\])*(\.[a-z]\w*(\[\d+\])*)*", re.IGNORECASE)
STEP = re.compile(r"(\w+)|\[(\d+)\]")


@functools.lru_cache(4096)
def steps(path: str) -> tuple[str | int, ...]:
    """The names and indices of a path, in order; `ValueError` if it is none."""
    if not PATH.fullmatch(path):
        raise ValueError(f"got {path!r}, expected a path such as pose.position.x or data[3]")
    return tuple(name or int(index) for part in path.split(".") for name, index in STEP.findall(part))


def reader(path: str) -> Callable[[Any], float]:
    """Message -> the number at a path; `ValueError` with what is there instead."""
    way = steps(path)

    def read(message: Any) -> float:
        value = message
        for i, step in enumerate(way):
            try:
                value = value[step] if isinstance(step, int) else getattr(value, step)
            except (AttributeError, TypeError):
                raise ValueError(f"got no field {path}: {_where(way[:i])} has {_has(value)}") from None
            except IndexError:
                raise ValueError(f"got no {path}: {_where(way[:i])} has {len(value)} values") from None
        try:
            return float(value) if not isinstance(value, str) else float("nan")
        except (TypeError, ValueError):
            raise ValueError(f"got no number at {path}: it has {_has(value)}; name one of them") from None

    return read


def _where(way: tuple[str | int, ...]) -> str:
    """The path of some steps."""
    return "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in way).lstrip(".") or "the message"


def _has(value: Any) -> str:
    """What a value holds: a message's fields, or that it is one number or a list."""
    if hasattr(value, "get_fields_and_field_types"):  # rclpy
        return ", ".join(value.get_fields_and_field_types())
    if hasattr(value, "__dataclass_fields__"):  # rosbags
        return ", ".join(name for name in value.__dataclass_fields__ if name != "__msgtype__")
    return f"{len(value)} values" if hasattr(value, "__len__") else "no fields"
