"""Messages as openpi packs them: what goes out comes back, and what is no plain data is refused."""

import sys
from typing import Any

import msgpack
import numpy as np
import pytest

from policy.errors import InputError
from policy.running import wire


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return bool(a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b))
    return bool(a == b)


@pytest.mark.parametrize(
    "value",
    [
        np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        np.arange(24, dtype=np.uint8).reshape(4, 6)[::2, ::3],  # not in C order
        np.array([True, False]),
        np.array(7, np.int64),
        np.zeros((0, 3)),
        np.array(["open", "close"]),
        np.arange(3, dtype=">f8"),
        {"nested": {"a": np.ones(2), "b": [1, 2.5, None, "text", True]}},
    ],
)
def test_what_goes_out_comes_back(value: Any) -> None:
    back = wire.unpack(wire.pack({"value": value}))["value"]
    if isinstance(value, dict):
        assert np.array_equal(back["nested"]["a"], np.ones(2)) and back["nested"]["b"] == [1, 2.5, None, "text", True]
    else:
        assert equal(value, back)


def test_the_bytes_are_those_of_openpi() -> None:
    """Its keys are bytes; the shape and the dtype's string follow."""
    raw = msgpack.unpackb(wire.pack({"a": np.array([[1, 2]], np.int16), "s": np.float32(1.5)}))
    assert raw["a"] == {b"__ndarray__": True, b"data": b"\x01\0\x02\0", b"dtype": "<i2", b"shape": [1, 2]}
    assert raw["s"] == {b"__npgeneric__": True, b"data": 1.5, b"dtype": "<f4"}
    assert wire.unpack(msgpack.packb(raw))["s"] == 1.5


@pytest.mark.parametrize("value", [np.array([{}]), np.array([1j]), np.zeros(2, "V4"), np.array(0, "M8[s]"), {1, 2}])
def test_what_is_not_sent(value: Any) -> None:
    with pytest.raises(InputError, match="cannot send"):
        wire.pack({"value": value})


def array(**fields: Any) -> bytes:
    given = {"__ndarray__": True, "data": b"\0" * 8, "dtype": "<f4", "shape": [2]} | fields
    return bytes(msgpack.packb({"a": {key.encode(): value for key, value in given.items()}}))


@pytest.mark.parametrize(
    "data, why",
    [
        (b"", "not msgpack"),
        (b"\xc1", "not msgpack"),
        (b"\x80\x80", "not msgpack"),
        (b"\x81" * 5000, "not msgpack"),  # maps within maps
        (b"\xdd\xff\xff\xff\xff", "not msgpack"),  # a list of 4 billion things, none of which is there
        (b"\x93\x01\x02\x03", "got list"),
        (msgpack.packb({"a": msgpack.ExtType(5, b"x")})[:-1], "not msgpack"),
        ("a text", "got the text 'a text'"),
        (array(dtype="|O"), "dtype '|O'"),
        (array(dtype="<f4,<f4"), "dtype"),
        (array(dtype="(9999,9999)f8"), "dtype"),
        (array(dtype="<f3"), "numpy does not have"),
        (array(dtype=4), "dtype '4'"),
        (array(shape=[3]), "8 bytes, expected those of <f4"),
        (array(shape=[-2]), "whole numbers"),
        (array(shape=[2**40, 2**40]), "8 bytes"),
        (array(shape=[1] * 100, data=b"\0" * 4), "numpy does not have"),
        (array(shape="2"), "whole numbers"),
        (array(data="text"), "array of str"),
        (msgpack.packb({"a": {b"__npgeneric__": True, b"data": [1]}}), "scalar that holds list"),
    ],
)
def test_what_is_refused(data: Any, why: str) -> None:
    with pytest.raises(InputError) as error:
        wire.unpack(data)
    assert why in str(error.value)


def test_without_msgpack_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msgpack", None)
    with pytest.raises(InputError, match="pip install msgpack websockets"):
        wire.pack({})
