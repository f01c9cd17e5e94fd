"""How a message is laid out: by the definition in its bag, else as ROS 2 Jazzy has it, else as an installed package.

A bag is read by its own definition where it holds one: a type may change from one release of its package to the next.
"""

import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.interfaces.typing import Typesdict
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.base import TypesysError
from rosbags.typesys.store import Typestore

from policy.data.raw import NO_DEFINITION, TYPES, Definition, Raw
from policy.errors import InputError

IDL = "IDL: "  # begins the name of a type, in a definition of several


@lru_cache(256)
def store(kind: str, definition: Definition = NO_DEFINITION) -> Typestore:
    """What reads and writes messages of a type (package/msg/Name); `InputError` where nothing defines it."""
    try:
        if definition.text.strip():
            return _store(_whole(kind, _parsed(kind, definition)))
    except (TypesysError, InputError):
        pass  # a definition that is cut off or was never one
    return TYPES if kind in TYPES.fielddefs else _store(_whole(kind, {}))


def decode(raw: Raw) -> Any:
    """The message; whatever rosbags raises where its bytes are damaged.

    Bytes after its end are no damage where the bag itself says how it is laid out: rclpy's serialize_message returns a
    buffer that is too long, and so records whoever writes that. Else they may mean that the type has changed.
    """
    types = store(raw.type, raw.definition)
    try:
        return types.deserialize_cdr(raw.data, raw.type)
    except SerdeError:
        if not raw.definition.text.strip():
            raise
        layout = types.get_msgdef(raw.type)
        read = layout.deserialize_cdr_le if raw.data[1] else layout.deserialize_cdr_be
        return read(raw.data[4:], 0, layout.cls, types)[0]


def begins_with_header(kind: str, definition: Definition = NO_DEFINITION) -> bool:
    """Whether the first field of a type is a header."""
    _, fields = store(kind, definition).fielddefs[kind]
    return bool(fields) and fields[0][1] == (Nodetype.NAME, "std_msgs/msg/Header")


def _parsed(kind: str, definition: Definition) -> Typesdict:
    """The types that a definition names."""
    if definition.format != "ros2idl":
        return get_types_from_msg(definition.text, kind)
    found: Typesdict = {}
    for part in definition.text.split("=" * 80 + "\n"):
        found |= get_types_from_idl(part.partition("\n")[2] if part.startswith(IDL) else part) if part.strip() else {}
    return found


def _whole(kind: str, known: Typesdict) -> Typesdict:
    """A type and all that it holds: as they are known, else installed (.msg files in share), else as Jazzy has them."""
    found: Typesdict = {}
    needed = [kind]
    while needed:
        name = needed.pop()
        if name in found:
            continue
        if name in known:
            found[name] = known[name]
        elif (path := _file(name)) is not None:
            found[name] = get_types_from_msg(path.read_text(), name)[name]
        elif name in TYPES.fielddefs:
            found[name] = TYPES.fielddefs[name]
        else:
            raise InputError(
                f"{name} is not defined: neither in the bag, nor in ROS 2 Jazzy, nor in an installed package; record "
                "as MCAP, which holds the definitions, or source the workspace that has the package"
            )
        needed += [nested for _, field in found[name][1] if (nested := _nested(field))]
    return found


def _file(kind: str) -> Path | None:
    """The .msg file of an installed type, None where there is none."""
    package, _, name = kind.split("/")
    for prefix in (*filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(":")), sys.prefix):
        path = Path(prefix) / "share" / package / "msg" / f"{name}.msg"
        if path.is_file():
            return path
    return None


def _nested(field: Any) -> str:
    """The type that a field's description names, "" for a number or a text."""
    kind, what = field
    if kind in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        kind, what = what[0]
    return str(what) if kind == Nodetype.NAME else ""


def _store(types: Typesdict) -> Typestore:
    made = get_typestore(Stores.EMPTY)
    made.register(types)
    return made
