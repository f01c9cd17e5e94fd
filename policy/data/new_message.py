"""Messages of any type, made of the few values that are given; all else is 0, empty or false."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.typesys.store import Typestore

from policy.data.definitions import store
from policy.robot import message_fields

TEXTS = ("string", "wstring")
BYTES = ("byte", "char", "octet")
Tree = dict[str | int, Any]  # name or index -> a value or a tree


def message(kind: str, values: Mapping[str, Any]) -> Any:
    """A message of a type, with values at paths such as pose.position.x or data[3]; lists are as long as it takes."""
    tree: Tree = {}
    for path, value in values.items():
        *way, last = message_fields.steps(path)
        branch = tree
        for step in way:
            branch = branch.setdefault(step, {})
        branch[last] = value
    return _made(store(kind), kind, tree)


def _made(types: Typestore, kind: str, tree: Tree) -> Any:
    _, fields = types.fielddefs[kind]
    return types.types[kind](**{name: _value(types, field, tree.get(name)) for name, field in fields})


def _value(types: Typestore, field: Any, given: Any) -> Any:
    """A field's value, of its description in rosbags."""
    kind, what = field
    if kind == Nodetype.NAME:
        return _made(types, what, given or {})
    if kind == Nodetype.BASE:
        return _number(what[0], given)
    of, length = what
    items: Tree = given or {}
    size = length if kind == Nodetype.ARRAY else max((int(i) + 1 for i in items), default=0)
    values = [_value(types, of, items.get(i)) for i in range(size)]
    if of[0] == Nodetype.NAME or of[1][0] in TEXTS:
        return values
    return np.array(values, np.uint8 if of[1][0] in BYTES else of[1][0])


def _number(kind: str, given: Any) -> Any:
    if kind in TEXTS:
        return given or ""
    if kind == "bool":
        return bool(given and given > 0.5)
    return float(given or 0) if kind.startswith("float") else round(given or 0)
