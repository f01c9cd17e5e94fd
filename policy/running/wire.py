"""Messages of openpi's policy servers: msgpack, in which an array is a map of its dtype, its shape and its bytes.

array    {b"__ndarray__": true, b"dtype": "<f4", b"shape": [16, 8], b"data": bytes in C order}
scalar   {b"__npgeneric__": true, b"dtype": "<f4", b"data": 1.5}

Nothing is unpickled: an array holds numbers, truth values or text of a fixed size, or the message is refused.
"""

import math
import re
from types import ModuleType
from typing import Any

import numpy as np

from policy.errors import InputError

KINDS = "biufSU"  # truth values, integers, floats, text
DTYPE = re.compile(rf"[<>|][{KINDS}]\d{{1,4}}")
NOT_INSTALLED = (
    "policies are served and asked over a network with the packages msgpack and websockets, which are not installed; "
    "install them with `pip install msgpack websockets`"
)


def pack(message: dict[str, Any]) -> bytes:
    """A message as openpi-client packs it; `InputError` for what is neither plain data nor a plain array."""
    packed: bytes = _msgpack().packb(message, default=_encode)
    return packed


def unpack(data: bytes | str) -> dict[str, Any]:
    """The message in some bytes, its arrays read-only; `InputError` for everything else that may arrive."""
    if isinstance(data, str):
        raise InputError(f"got the text {data[:200]!r}, expected msgpack")
    try:
        message = _msgpack().unpackb(data, object_hook=_decode)
    except InputError:
        raise
    except Exception as error:  # msgpack raises many unrelated types for bytes that it cannot read
        raise InputError(f"got {len(data)} bytes that are not msgpack ({type(error).__name__}: {error})") from None
    if not isinstance(message, dict):
        raise InputError(f"got {type(message).__name__}, expected a map of names")
    return message


def _msgpack() -> ModuleType:
    try:
        import msgpack
    except ImportError:
        raise InputError(NOT_INSTALLED) from None
    module: ModuleType = msgpack
    return module


def _encode(value: Any) -> dict[bytes, Any]:
    """What msgpack does not know: arrays and numpy's scalars."""
    if not isinstance(value, np.ndarray | np.generic) or value.dtype.kind not in KINDS:
        kind = value.dtype if isinstance(value, np.ndarray | np.generic) else type(value).__name__
        raise InputError(f"cannot send {kind}, expected numbers, truth values or text")
    if isinstance(value, np.ndarray):
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
    return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}


def _decode(raw: dict[Any, Any]) -> Any:
    """A map, or what it stands for."""
    if b"__npgeneric__" in raw:
        value = raw.get(b"data")
        if not isinstance(value, bool | int | float | str | bytes):
            raise InputError(f"got a scalar that holds {type(value).__name__}, expected a number or text")
        return value
    return _array(raw.get(b"dtype"), raw.get(b"shape"), raw.get(b"data")) if b"__ndarray__" in raw else raw


def _array(dtype: Any, shape: Any, data: Any) -> np.ndarray:
    if not isinstance(dtype, str) or not DTYPE.fullmatch(dtype):
        raise InputError(f"got an array of dtype {str(dtype)[:40]!r}, expected numbers, truth values or text")
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise InputError(f"got an array of shape {str(shape)[:40]}, expected whole numbers")
    try:
        kind = np.dtype(dtype)
        if not isinstance(data, bytes) or len(data) != math.prod(shape) * kind.itemsize:
            held = f"{len(data)} bytes" if isinstance(data, bytes) else type(data).__name__
            raise InputError(f"got an array of {held}, expected those of {dtype} {shape}")
        return np.ndarray(shape, kind, data)
    except (TypeError, ValueError) as error:  # a dtype that numpy does not have, or too many dimensions
        raise InputError(f"got an array of {dtype} {shape}, which numpy does not have: {error}") from None
