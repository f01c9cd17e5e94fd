"""Pictures of every encoding: what was written with OpenCV or by hand comes out as its colours and distances."""

import struct
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import cv2
import numpy as np
import pytest

from policy.data.cache import open_cache
from policy.data.episodes import read_episodes
from policy.data.message_writer import MessageWriter
from policy.data.pictures import Resizer
from policy.errors import InputError
from policy.robot.decode import Unusable, image_decoder
from policy.robot.sources import RAW, Camera, Encoding
from tests import small_robot as robot

H, W = 48, 64
RNG = np.random.default_rng(0)
SMOOTH = cv2.resize(RNG.integers(0, 256, (6, 8, 3), np.uint8), (W, H), interpolation=cv2.INTER_CUBIC)  # RGB
DEPTH = RNG.uniform(0.3, 4.0, (H, W)).astype(np.float32)
DEPTH[:4] = 0
TO = {
    "rgb8": None,
    "bgr8": cv2.COLOR_RGB2BGR,
    "rgba8": cv2.COLOR_RGB2RGBA,
    "bgra8": cv2.COLOR_RGB2BGRA,
    "mono8": cv2.COLOR_RGB2GRAY,
    "yuv422": cv2.COLOR_RGB2YUV_UYVY,
    "uyvy": cv2.COLOR_RGB2YUV_UYVY,
    "yuv422_yuy2": cv2.COLOR_RGB2YUV_YUY2,
    "yuyv": cv2.COLOR_RGB2YUV_YUY2,
}
PACKED, RAW_IMAGE = "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/Image"


def camera(encoding: str, kind: str = RAW_IMAGE) -> Camera:
    return Camera("camera", kind, encoding, H, W)  # type: ignore[arg-type]  # of tests' parameters


def stored(encoding: str) -> np.ndarray:
    """SMOOTH as a driver gives it, by OpenCV or, of a mosaic, by the definition: bytes (h, step)."""
    if encoding.startswith("bayer"):
        mosaic = np.empty((H, W), np.uint8)
        for i, colour in enumerate(encoding.split("_")[1][:4]):
            mosaic[i // 2 :: 2, i % 2 :: 2] = SMOOTH[i // 2 :: 2, i % 2 :: 2, "rgb".index(colour)]
        return mosaic
    code = TO[encoding]
    return (SMOOTH if code is None else cv2.cvtColor(SMOOTH, code)).reshape(H, -1)


def message(encoding: str, rows: np.ndarray, padding: int = 0, big: bool = False) -> Any:
    rows = np.pad(rows.view(np.uint8), ((0, 0), (0, padding)))
    return robot.T[RAW_IMAGE](robot.header(1), H, W, encoding, int(big), rows.shape[1], rows.reshape(-1))


@pytest.mark.parametrize("padding", [0, 12])
@pytest.mark.parametrize("encoding", [e for e in RAW if e not in ("16UC1", "32FC1")])
def test_colours_are_those_that_were_seen(encoding: str, padding: int) -> None:
    image = image_decoder(camera(encoding))(message(encoding, stored(encoding), padding))
    assert image.shape == (H, W, 3) and image.dtype == np.uint8 and image.flags["C_CONTIGUOUS"]
    if encoding == "mono8":
        grey = SMOOTH.astype(float) @ [0.299, 0.587, 0.114]
        assert np.abs(image - grey[..., None]).max() <= 1
    elif encoding in ("rgb8", "bgr8", "rgba8", "bgra8"):
        assert np.array_equal(image, SMOOTH)
    else:  # half of the colour is lost, not more; exchanged colours are 60 off
        assert np.abs(image[2:-2, 2:-2].astype(int) - SMOOTH[2:-2, 2:-2]).mean() < 6


def by_hand(y: int, u: int, v: int) -> list[float]:
    """BT.601 in the range of video."""
    y, u, v = 1.164 * (y - 16), u - 128, v - 128
    return [y + 1.596 * v, y - 0.813 * v - 0.391 * u, y + 2.018 * u]


@pytest.mark.parametrize(("encoding", "order"), [("yuv422", "uyvy"), ("yuv422_yuy2", "yuyv")])
def test_pairs_of_pixels_are_in_the_order_of_their_name(encoding: str, order: str) -> None:
    values = {"y": 120, "u": 90, "v": 160}
    rows = np.tile(np.array([values[c] for c in order], np.uint8), (H, W // 2))
    image = image_decoder(camera(encoding))(message(encoding, rows))
    assert np.abs(image[5, 5] - np.array(by_hand(**values))).max() <= 1.5


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_depth_is_in_metres_and_zero_where_it_is_unknown(encoding: str, big: bool) -> None:
    order = ">" if big else "<"
    if encoding == "16UC1":
        rows = np.rint(DEPTH * 1000).astype(f"{order}u2")
    else:
        rows = DEPTH.astype(f"{order}f4")
        rows[0, :3] = np.nan, np.inf, -1
    image = image_decoder(camera(encoding))(message(encoding, rows, padding=4, big=big))
    assert image.shape == (H, W, 1) and image.dtype == np.float32
    np.testing.assert_allclose(image[..., 0], DEPTH, atol=5e-4)
    assert not image[:4].any()


def packed_depth(encoding: str, transport: bool) -> Any:
    """As compressed_depth_image_transport writes it (ConfigHeader, PNG), or as compressed_image_transport does."""
    a, b = 100.0 * 100, 1.0  # depth_quantization 100, depth_max 10: a = q (q + 1), b = 1 - a / max, here simpler
    raw = np.rint(DEPTH * 1000) if encoding == "16UC1" else np.where(DEPTH > 0, a / np.maximum(DEPTH, 1e-3) + b, 0)
    png = cv2.imencode(".png", np.rint(raw).astype(np.uint16))[1].tobytes()
    form = f"{encoding}; compressedDepth png" if transport else f"{encoding}; png compressed "
    return SimpleNamespace(format=form, data=(struct.pack("<iff", 0, a, b) if transport else b"") + png)


@pytest.mark.parametrize(("encoding", "transport", "off"), [("16UC1", 1, 6e-4), ("16UC1", 0, 6e-4), ("32FC1", 1, 2e-3)])
def test_compressed_depth(encoding: str, transport: bool, off: float) -> None:
    image = image_decoder(camera(encoding, PACKED))(packed_depth(encoding, transport))
    assert image.shape == (H, W, 1) and image.dtype == np.float32 and not image[:4].any()
    np.testing.assert_allclose(image[..., 0], DEPTH, atol=off)


@pytest.mark.parametrize(
    ("encoding", "made", "words"),
    [
        ("32FC1", packed_depth("32FC1", False), "without the numbers that turn it into metres"),
        ("16UC1", packed_depth("32FC1", True), "format '32FC1; compressedDepth png', expected 64x48 16UC1"),
        ("16UC1", SimpleNamespace(format="16UC1; compressedDepth rvl", data=bytes(100)), "compressedDepth rvl"),
        ("16UC1", SimpleNamespace(format="16UC1; compressedDepth png", data=bytes(100)), "no PNG"),
    ],
)
def test_depth_that_cannot_be_read_is_refused(encoding: str, made: Any, words: str) -> None:
    with pytest.raises(Unusable, match=words):
        image_decoder(camera(encoding, PACKED))(made)


def test_a_width_that_pairs_do_not_fill_and_an_encoding_of_another_type_are_refused() -> None:
    front = {"topic": "cam/image_raw", "type": RAW_IMAGE, "encoding": "yuyv", "height": H, "width": 63}
    packed = {"type": PACKED, "width": W}
    for change, words in (({}, "pixels in pairs"), (packed, "expected jpeg, png, 16UC1 or 32FC1")):
        with pytest.raises(InputError, match=words):
            robot.contract(cameras={"front": front | change})


@pytest.mark.parametrize("encoding", RAW)
def test_a_bag_of_it_becomes_pictures_also_in_the_cache(tmp_path: Path, encoding: str) -> None:
    """The whole road: rosbags writes, the bag and the cache give what the decoder gives of each message."""
    contract = robot.contract(cameras={"front": {**vars(robot.contract().cameras["front"]), "encoding": encoding}})
    depth = encoding in ("16UC1", "32FC1")
    items = []
    for topic, made, at in robot.moving(2.0):
        if topic == "/cam/image_raw":
            rows = DEPTH.astype("<f4") if encoding == "32FC1" else np.rint(DEPTH * 1000).astype("<u2")
            made = message(encoding, rows if depth else stored(encoding))
            made.header = robot.header(at)
        items.append((topic, made, at))
    robot.record(tmp_path / "bag", items)
    expected = image_decoder(contract.cameras["front"])(next(m for t, m, _ in items if t == "/cam/image_raw"))
    (episode,) = read_episodes(tmp_path / "bag", contract)
    cache = open_cache(tmp_path, contract, processes=1)
    for images in (episode.images["front"], cache.images["front"]):
        assert len(images) > 30 and images.shape[1:] == expected.shape and images.dtype == expected.dtype
        assert np.array_equal(images[7], expected)
    dtype, shape = contract.spec.picture("front")
    assert (shape, dtype) == (expected.shape, str(expected.dtype))


@pytest.mark.parametrize(
    ("encoding", "kind"), [*((e, RAW_IMAGE) for e in RAW), *((e, PACKED) for e in ("jpeg", "png", "16UC1", "32FC1"))]
)
def test_what_is_written_again_is_read_as_it_was(encoding: str, kind: str) -> None:
    """As bags of switches are made of recordings."""
    contract = robot.contract()
    contract = replace(contract, cameras={"front": camera(encoding, kind)})
    pixels = np.where(DEPTH > 0, DEPTH, 0)[..., None] if encoding in ("16UC1", "32FC1") else SMOOTH
    pixels = np.repeat(SMOOTH[..., 1:2], 3, 2) if encoding == "mono8" else pixels
    written: list[Any] = []
    bag = SimpleNamespace(write=lambda topic, made, at: written.append(made))
    MessageWriter(bag, contract).frame(1, {"front": pixels}, np.zeros(3, np.float32))  # type: ignore[arg-type]
    again = image_decoder(contract.cameras["front"])(written[-1])
    assert again.dtype == pixels.dtype
    lossy = encoding.startswith("bayer") or encoding in (*("yuv422", "uyvy", "yuv422_yuy2", "yuyv"), "jpeg")
    inner = (slice(2, -2), slice(2, -2))
    off = np.abs(again[inner].astype(float) - pixels[inner]).mean()
    assert off < (6 if lossy else 1e-3)
    assert set(get_args(Encoding)) >= {encoding}


def test_areas_of_depth_are_averaged_of_what_is_known() -> None:
    depth = np.zeros((4, 4, 1), np.float32)
    depth[:2, :2, 0] = [[1, 3], [0, 0]]
    depth[2:, 2:] = 2
    small = Resizer(2)(depth)
    assert small[..., 0].tolist() == [[2, 0], [0, 2]] and small.dtype == np.float32
