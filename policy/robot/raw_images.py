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
