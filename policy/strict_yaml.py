"""YAML as frozen dataclasses: an unknown key, a missing one or a wrong type is an `InputError` that names its place.

`where` names the file and the key, for the message.
"""

import sys
import types
import typing
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from policy.errors import InputError, unknown

T = TypeVar("T")
TEXT = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")  # tags of keys


def read(path: Path) -> Any:
    """The content of a YAML file; `InputError` if it cannot be read or is not YAML, or a key is twice or no text."""
    try:
        return parse(path.read_text(), path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror or error}), expected a YAML file; mend its permissions"
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        raise not_yaml(path, error) from None


def parse(text: str, path: Path) -> Any:
    """The content of a file's text, as `read` gives it; YAMLError or ValueError if it is not YAML."""
    loader = yaml.CSafeLoader(text)
    try:
        node = loader.get_single_node()
        _check_keys(node, path, set())
        return None if node is None else loader.construct_document(node)
    except (LookupError, AttributeError) as error:  # which PyYAML leads to where a text is none of its tag's
        raise ValueError(f"a value that is not of its tag ({type(error).__name__}: {error})") from None
    finally:
        loader.dispose()


def not_yaml(path: Path, error: Exception) -> InputError:
    """Why a file cannot be read."""
    return InputError(f"{path} is not YAML: {' '.join(str(error).split())}; correct it")


def _check_keys(node: yaml.Node | None, path: Path, seen: set[int]) -> None:
    """`InputError` for a key that is no text, or that a mapping has twice, of which the last would win."""
    if isinstance(node, yaml.ScalarNode) or node is None or id(node) in seen:
        return
    seen.add(id(node))  # an anchor has several places, its own content among them
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(item, path, seen)
        return
    lines: dict[str, int] = {}
    for key, content in node.value:
        line = key.start_mark.line + 1
        if key.tag not in TEXT:
            raise InputError(f"{path}: line {line}: got the key {_shown(key)}, expected text; put it in quotes")
        if key.value in lines:
            raise InputError(
                f"{path}: line {line}: got the key {key.value!r} again, after line {lines[key.value]}, expected it "
                "once; take one of them out"
            )
        lines[key.value] = line
        _check_keys(content, path, seen)


def _shown(key: yaml.Node) -> str:
    return str(key.value) if isinstance(key, yaml.ScalarNode) else "that is a list or a mapping"


def build(cls: type[T], raw: Any, where: str) -> T:
    """The dataclass `cls` of a mapping of plain values; nested dataclasses are mappings, tuples are lists."""
    values, hints, known = mapping(cls, raw, where), typing.get_type_hints(cls), fields(cls)  # type: ignore[arg-type]
    missing = [f.name for f in known if f.name not in values and f.default is MISSING and f.default_factory is MISSING]
    if missing:
        raise InputError(f"{where}: got the keys {', '.join(map(str, values)) or 'none'}; add {', '.join(missing)}")
    return cls(**{key: value(hints[key], raw, f"{where}: {key}") for key, raw in values.items()})


def mapping(cls: type, raw: Any, where: str) -> dict[str, Any]:
    """`raw` if it is a mapping whose keys are all fields of the dataclass `cls`."""
    names = typing.get_type_hints(cls)
    if not isinstance(raw, dict):
        raise InputError(f"{where}: got {raw!r}, expected a mapping with the keys {', '.join(names)}")
    for key in raw:
        if key not in names:
            raise unknown(f"key in {where}:", key, names)
    return raw


def value(kind: Any, raw: Any, where: str) -> Any:
    """One YAML value as the annotated type `kind`; an int may stand for a float."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return None if raw is None and types.NoneType in args else value(_meant(args, raw), raw, where)
    if origin is Literal:
        if raw not in args:
            raise unknown(f"value in {where}:", raw, args)
        return raw
    if origin is tuple:
        if not isinstance(raw, list):
            raise InputError(f"{where}: got {raw!r}, expected a list")
        return tuple(value(args[0], item, f"{where}[{i}]") for i, item in enumerate(raw))
    if origin is dict:
        if not isinstance(raw, dict):
            raise InputError(f"{where}: got {raw!r}, expected a mapping of names")
        return {k: value(args[1], v, f"{where}.{k}") for k, v in raw.items()}
    if isinstance(kind, type) and hasattr(kind, "__dataclass_fields__"):
        return build(kind, raw, where)
    accepted = (int, float) if kind is float else kind
    if not isinstance(raw, accepted) or (isinstance(raw, bool) and kind is not bool):
        raise InputError(f"{where}: got {raw!r} ({type(raw).__name__}), expected {kind.__name__}{_hint(kind, raw)}")
    if kind is float and not abs(raw) <= sys.float_info.max:  # a whole number may be larger than any float
        raise InputError(f"{where}: got {raw!r}, expected a finite number")
    return kind(raw)


def _hint(kind: Any, raw: Any) -> str:
    """What to do about a number that is text."""
    if not isinstance(raw, str) or kind not in (int, float):
        return ""
    try:
        kind(raw)
    except ValueError:
        return ""
    return " (write 1.0e-3, not 1e-3: YAML reads that as text)" if "e" in raw.lower() else " (take the quotes away)"


def _meant(kinds: tuple[Any, ...], raw: Any) -> Any:
    """Which type of a union a plain value is to be: a mapping the dataclass that shares most keys, a list a tuple."""
    if isinstance(raw, dict):
        classes = [kind for kind in kinds if hasattr(kind, "__dataclass_fields__")]
        return max(classes or kinds, key=lambda kind: len(raw.keys() & typing.get_type_hints(kind).keys()))
    origin = tuple if isinstance(raw, list) else Literal if isinstance(raw, str) else None
    return next((kind for kind in kinds if typing.get_origin(kind) is origin), kinds[0])
