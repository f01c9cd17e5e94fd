"""JPEG and PNG are read whole or refused with what arrived: damaged headers, cut files, 16 bits, EXIF."""

import struct
import zlib
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from policy.robot.contract import load
from policy.robot.decode import Unusable, image_decoder

CAMERA = load("so101").cameras["wrist"]  # 640x480 JPEG
PICTURE = np.broadcast_to(np.linspace(0, 250, 640).astype(np.uint8)[None, :, None], (480, 640, 3)).copy()
PICTURE[:, :, 0] = 30
JPEG, PNG = (cv2.imencode(f".{kind}", PICTURE[..., ::-1])[1].tobytes() for kind in ("jpg", "png"))


def decode(data: bytes, kind: str) -> np.ndarray:
    return image_decoder(replace(CAMERA, encoding=kind))(SimpleNamespace(format=f"bgr8; {kind} compressed", data=data))


def png(width: int, height: int) -> bytes:
    """A PNG whose header promises more than its data holds."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def jpeg(width: int, height: int) -> bytes:
    data = bytearray(JPEG)
    at = data.find(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def exif(orientation: int) -> bytes:
    """The JPEG with a tag that asks a viewer to turn it."""
    tiff = b"MM\x00\x2a\x00\x00\x00\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\x00\x00" + tiff
    return JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + JPEG[2:]


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        ("png", png(100_000, 100_000), "got an image of 100000x100000, expected 640x480 png"),
        ("png", png(640, 480), "got bytes that do not decode"),
        ("png", PNG[:-100], "got a PNG that is cut off"),
        ("png", PNG[:1000] + bytes(40) + PNG[1040:], "got bytes that do not decode"),
        ("png", JPEG, "got bytes that are no PNG"),
        ("jpeg", jpeg(65_500, 65_500), "got an image of 65500x65500, expected 640x480 jpeg"),
        ("jpeg", jpeg(320, 240), "got an image of 320x240, expected 640x480"),
        ("jpeg", JPEG[: len(JPEG) // 2], "got a JPEG that is cut off"),
        ("jpeg", JPEG[:2] + bytes(100) + JPEG[102:], "its header is damaged"),
        ("jpeg", PNG, "got bytes that are no JPEG"),
        ("jpeg", b"", "got bytes that are no JPEG"),
        (
            "png",
            cv2.imencode(".png", PICTURE.astype(np.uint16) * 257)[1].tobytes(),
            "got an image of 16 bits a channel",
        ),
        (
            "png",
            cv2.imencode(".png", np.zeros((480, 640), np.uint16))[1].tobytes(),
            "got an image of 16 bits a channel",
        ),
    ],
)
def test_what_cannot_be_read_whole_is_refused(kind: str, data: bytes, words: str) -> None:
    with pytest.raises(Unusable, match=words):
        decode(data, kind)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_pixels_are_the_sensor_s_whatever_a_tag_asks(orientation: int) -> None:
    assert np.array_equal(decode(exif(orientation), "jpeg"), decode(JPEG, "jpeg"))
    assert np.abs(decode(JPEG, "jpeg").astype(int) - PICTURE).max() < 12


@pytest.mark.parametrize("seed", range(40))
def test_random_damage_never_raises_anything_else(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kind, data = (("jpeg", bytearray(JPEG)), ("png", bytearray(PNG)))[seed % 2]
    for _ in range(int(rng.integers(1, 6))):
        data[int(rng.integers(0, len(data) if seed % 4 < 2 else 200))] = int(rng.integers(256))
    with suppress(Unusable):
        assert decode(bytes(data), kind).shape == (480, 640, 3)


@pytest.mark.parametrize("kind, data", [("jpeg", JPEG), ("png", PNG)])
def test_a_format_that_the_driver_leaves_empty_is_told_by_the_bytes(kind: str, data: bytes) -> None:
    empty = SimpleNamespace(format="", data=data)
    assert np.array_equal(image_decoder(replace(CAMERA, encoding=kind))(empty), decode(data, kind))
    other = "png" if kind == "jpeg" else "jpeg"
    with pytest.raises(Unusable, match=f"got an image of format '{kind}', expected 640x480 {other}"):
        image_decoder(replace(CAMERA, encoding=other))(empty)
    with pytest.raises(Unusable, match="got an image of format 'unknown'"):
        image_decoder(replace(CAMERA, encoding=kind))(SimpleNamespace(format="", data=b""))


def test_a_depth_png_without_a_format() -> None:
    depth = np.full((480, 640), 1500, np.uint16)
    message = SimpleNamespace(format="", data=cv2.imencode(".png", depth)[1].tobytes())
    assert np.allclose(image_decoder(replace(CAMERA, encoding="16UC1"))(message), 1.5)
    with pytest.raises(Unusable, match="16 bits a channel"):
        image_decoder(replace(CAMERA, encoding="png"))(message)


def test_grey_and_transparent_pictures_become_rgb() -> None:
    grey = decode(cv2.imencode(".png", PICTURE[..., 1])[1].tobytes(), "png")
    assert np.array_equal(grey, np.repeat(PICTURE[..., 1:2], 3, -1))
    clear = np.concatenate([PICTURE[..., ::-1], np.full((480, 640, 1), 9, np.uint8)], -1)
    assert np.array_equal(decode(cv2.imencode(".png", clear)[1].tobytes(), "png"), PICTURE)
