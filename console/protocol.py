"""What a browser may send: one JSON object a message, each with exactly the fields of its type."""

import json
import math
from typing import Any, NamedTuple

from policy.errors import InputError, unknown

LARGEST = 4096  # bytes of a message
NAME = 40  # characters

Fields = dict[str, type]
FIELDS: dict[str, Fields] = {
    "seen": {"number": int},  # the state of this number has been shown
    "name": {"name": str},
    "take": {},
    "release": {},
    "instruct": {"text": str},
    "continue": {},
    "stop": {},
    "emergency_stop": {},
    "reset": {},
    "push": {},
    "take_over": {},
    "give_back": {},
    "move": {"joint": str, "share": float},  # of the fastest that a person may move, -1 to 1
    "scene": {"world": str, "seed": int, "task": str, "latency_ms": float, "schedule": str, "shift": str},
}
SILENT = {"seen", "name", "take", "release"}
NUMBERED = FIELDS.keys() - SILENT  # they have an `id`, and an answer


class Message(NamedTuple):
    """A message that was understood; `id` is repeated in the reply."""

    type: str
    id: int
    fields: dict[str, Any]


def parse(text: str) -> Message:
    """Read a message; `InputError` for all that is not exactly one of `FIELDS`."""
    try:
        got = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("got a message that is no JSON, expected an object with a `type`") from None
    if not isinstance(got, dict) or not isinstance(got.get("type"), str):
        raise InputError("got a message without a `type`, expected a JSON object that has one")
    kind = got.pop("type")
    if kind not in FIELDS:
        raise unknown("message", kind[:NAME], FIELDS)
    expected = FIELDS[kind] | ({"id": int} if kind in NUMBERED else {})
    if got.keys() != expected.keys():
        raise InputError(f"{kind}: got the fields {sorted(got)[:20]}, expected {sorted(expected)}")
    fields = {name: _value(f"{kind}.{name}", got[name], expected[name]) for name in expected}
    return Message(kind, fields.pop("id", 0), fields)


def person(name: str) -> str:
    """The name that a browser gives itself; `InputError` where it cannot be shown."""
    name = name.strip()
    if not name or len(name) > NAME or not name.isprintable():
        raise InputError(f"got the name {name[:NAME]!r}, expected 1 to {NAME} printable characters")
    return name


def _value(where: str, value: Any, kind: type) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        value = float(value)
    if type(value) is not kind or (isinstance(value, float) and not math.isfinite(value)):
        raise InputError(f"{where}: got {str(value)[:NAME]!r}, expected {kind.__name__}")
    return value
