"""The pixels of a sensor_msgs/msg/Image as RGB, or as the distance of each pixel.

rgb8 bgr8                        3 bytes a pixel          yuv422 (uyvy)        U Y V Y of two pixels
rgba8 bgra8                      4, the last is not used  yuv422_yuy2 (yuyv)   Y U Y V of two pixels
mono8                            1, as grey               bayer_rggb8 ...      1, of the colour in the upper left
16UC1   mm        32FC1   m      depth: 0, negative and what is no finite number is unknown, and 0 here
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from policy.robot.opencv import opencv
from policy.robot.sources import Camera

BYTES = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "yuv422": 2, "yuv422_yuy2": 2, "uyvy": 2, "yuyv": 2}
BYTES |= {"16UC1": 2, "32FC1": 4}  # a pixel, 1 of all others
MILLIMETRE = np.float32(0.001)
GREY = np.array([0.299, 0.587, 0.114])
YUV = np.array(  # BT.601 in the range of video: luma, U and V of red, green, blue, and what is added
    [[0.257, 0.504, 0.098, 16.0], [-0.148, -0.291, 0.439, 128.0], [0.439, -0.368, -0.071, 128.0]]
)
COLOURS = {  # name of OpenCV's conversion
    "yuv422": "COLOR_YUV2RGB_UYVY",
    "uyvy": "COLOR_YUV2RGB_UYVY",
    "yuv422_yuy2": "COLOR_YUV2RGB_YUY2",
    "yuyv": "COLOR_YUV2RGB_YUY2",
    "bayer_rggb8": "COLOR_BayerRGGB2RGB",
    "bayer_bggr8": "COLOR_BayerBGGR2RGB",
    "bayer_gbrg8": "COLOR_BayerGBRG2RGB",
    "bayer_grbg8": "COLOR_BayerGRBG2RGB",
}


def decoder(camera: Camera) -> Callable[[Any], np.ndarray]:
    """Message -> uint8 (height, width, 3) RGB, or float32 (height, width, 1) m; `ValueError` with what arrived."""
    encoding, wide = camera.encoding, BYTES.get(camera.encoding, 1) * camera.width
    converted = _converter(encoding)

    def decode(message: Any) -> np.ndarray:
        h, w, step = message.height, message.width, message.step
        if (h, w, message.encoding) != (camera.height, camera.width, encoding):
            raise ValueError(f"an image of {w}x{h} {message.encoding}")
        data = np.frombuffer(message.data, np.uint8)
        if step < wide or len(data) < step * h:
            raise ValueError(f"an image with too few bytes for its size: {len(data)} bytes, not {wide * h}")
        rows = data[: step * h].reshape(h, step)[:, :wide]  # which may be padded
        if camera.depth:
            order = ">" if message.is_bigendian else "<"
            return metres(np.ascontiguousarray(rows).view(f"{order}{'u2' if encoding == '16UC1' else 'f4'}"))
        return np.ascontiguousarray(converted(rows.reshape(h, w, -1)))

    return decode


def encode(camera: Camera, pixels: np.ndarray) -> np.ndarray:
    """The inverse: the bytes (height, step) of pixels; mosaics and pairs of pixels lose colour."""
    encoding = camera.encoding
    if camera.depth:
        depth = pixels[..., 0]
        stored = np.rint(depth * 1000).clip(0, 65535).astype("<u2") if encoding == "16UC1" else depth.astype("<f4")
        return np.ascontiguousarray(stored).view(np.uint8)
    h, w, _ = pixels.shape
    if encoding.startswith("bayer"):
        return _mosaic(pixels, encoding)
    if encoding in COLOURS:
        luma, *chroma = np.moveaxis(pixels @ YUV[:, :3].T + YUV[:, 3], 2, 0)
        pairs = np.stack([part.reshape(h, w // 2, 2).mean(2) for part in chroma], 2).reshape(h, w)
        order = (luma, pairs) if encoding in ("yuv422_yuy2", "yuyv") else (pairs, luma)
        packed: np.ndarray = np.rint(np.stack(order, 2)).clip(0, 255).astype(np.uint8).reshape(h, 2 * w)
        return packed
    if encoding == "mono8":
        grey: np.ndarray = np.rint(pixels @ GREY).astype(np.uint8)
        return grey
    ordered = pixels[..., ::-1] if encoding.startswith("bgr") else pixels
    opaque = [np.full((h, w, 1), 255, np.uint8)] if BYTES[encoding] == 4 else []
    return np.concatenate([ordered, *opaque], 2).reshape(h, -1)


def _mosaic(pixels: np.ndarray, encoding: str) -> np.ndarray:
    """One colour of each pixel, as a bayer_<upper left><upper right><lower left><lower right>8 sensor sees it."""
    pattern = encoding.removeprefix("bayer_")
    seen = np.empty(pixels.shape[:2], np.uint8)
    for i, colour in enumerate(pattern[:4]):
        y, x = divmod(i, 2)
        seen[y::2, x::2] = pixels[y::2, x::2, "rgb".index(colour)]
    return seen


def metres(depth: np.ndarray) -> np.ndarray:
    """Depth (h, w) in mm as integers or in m as float32 (h, w, 1) m, 0 where it is unknown."""
    scaled = depth * MILLIMETRE if depth.dtype.kind == "u" else depth.astype(np.float32)
    known: np.ndarray = np.where(np.isfinite(scaled) & (scaled > 0), scaled, np.float32(0))
    return known[..., None]


def _converter(encoding: str) -> Callable[[np.ndarray], np.ndarray]:
    """Pixels (h, w, bytes) -> RGB (h, w, 3)."""
    if encoding in COLOURS:
        cv2 = opencv(f"images of {encoding}")
        code = getattr(cv2, COLOURS[encoding])
        return lambda pixels: np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), code))
    if encoding == "mono8":
        return lambda pixels: np.repeat(pixels, 3, axis=2)
    order = [2, 1, 0] if encoding.startswith("bgr") else [0, 1, 2]
    return lambda pixels: pixels[..., order]
