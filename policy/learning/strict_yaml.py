"""YAML values as frozen dataclasses: an unknown key, a wrong type or a negative number is an `InputError`.

`where` names file and key, for the message.
"""

import math
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

from policy.errors import InputError, unknown

T = TypeVar("T")


def build(cls: type[T], raw: Any, where: str) -> T:
    """A dataclass of plain values from a mapping."""
    hints = get_type_hints(cls)
    return cls(**{key: typed(value, hints[key], f"{where}.{key}") for key, value in mapping(raw, cls, where).items()})


def mapping(raw: Any, cls: type, where: str) -> dict[str, Any]:
    """`raw` if it is a mapping whose keys are all fields of the dataclass `cls`."""
    valid = [field.name for field in fields(cls)]
    values = table(raw, where)
    for key in values:
        if key not in valid:
            raise unknown(f"key in {where}", key, valid)
    return values


def table(raw: Any, where: str) -> dict[str, Any]:
    """`raw` if it is a mapping."""
    if not isinstance(raw, dict):
        raise InputError(f"{where}: got {raw!r}, expected a mapping of keys to values")
    return raw


def typed(value: Any, kind: type[T], where: str) -> T:
    """`value` if it has the type and, for a number, is not negative; an int may stand for a float."""
    number: Any = float(value) if kind is float and type(value) is int else value
    if type(number) is not kind:
        text = kind is float and isinstance(value, str)
        hint = " (write 1.0e-3, not 1e-3: YAML reads that as text)" if text else ""
        raise InputError(f"{where}: got {value!r}, expected {kind.__name__}{hint}")
    if isinstance(number, (int, float)) and not 0 <= number < math.inf:
        raise InputError(f"{where}: got {value!r}, expected a number that is not negative")
    return number
