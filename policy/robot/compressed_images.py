"""JPEG and PNG -> RGB or depth, whole or not at all: what a header promises is checked before anything is decoded.

The pixels are those of the sensor: an EXIF tag that asks a viewer to turn the image is not followed, as
sensor_msgs/msg/Image knows none.

Depth is a PNG of 16 bits: in mm (16UC1), or, behind the header of compressed_depth_image_transport, as steps of the
inverse of the distance (32FC1): m = a / (pixel - b).
"""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from policy.robot.opencv import opencv
from policy.robot.raw_images import metres
from policy.robot.sources import Camera

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
FRAME_HEADERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of a JPEG that hold its size
SCAN, END = 0xDA, b"\xff\xd9"
QUALITY = 95  # of JPEG: once more through it must not be seen
NEAREST = 0.2  # m that 16 bits of an inverse distance reach down to
INVERSE = (65000 * NEAREST, 1.0)  # a, b of the inverse distance
COLOUR_TYPE = 25  # place of the byte in a PNG that is 0 where it has one channel
DEPTH_HEADER = struct.Struct("<iff")  # of compressed_depth_image_transport: format, a, b


def decoder(camera: Camera) -> Callable[[Any], np.ndarray]:
    """Message -> uint8 (height, width, 3) RGB, or float32 (height, width, 1) m; `ValueError` with what arrived."""
    cv2 = opencv("compressed images")
    how = cv2.IMREAD_UNCHANGED if camera.depth else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION

    def unpack(data: bytes) -> np.ndarray:
        width, height, bits = jpeg_header(data) if camera.encoding == "jpeg" else png_header(data)
        if (width, height) != (camera.width, camera.height):
            raise ValueError(f"an image of {width}x{height}")
        if bits != (16 if camera.depth else 8):
            raise ValueError(f"an image of {bits} bits a channel, not {16 if camera.depth else 8}")
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), how)
        except cv2.error as error:
            raise ValueError(f"bytes that do not decode ({error.err})") from None
        if image is None or image.shape[:2] != (height, width):
            raise ValueError("bytes that do not decode")
        return np.asarray(image)

    def depth(data: bytes) -> np.ndarray:
        packed = data if data[: len(PNG)] == PNG else data[DEPTH_HEADER.size :]
        image = unpack(packed)
        if image.ndim != 2:
            raise ValueError(f"an image of {image.shape[2]} channels, not 1")
        if camera.encoding == "16UC1":
            return metres(image)
        if packed is data:
            raise ValueError("a PNG without the numbers that turn it into metres")
        _, a, b = DEPTH_HEADER.unpack_from(data)
        with np.errstate(divide="ignore"):
            return metres(np.where(image > 0, a / (image.astype(np.float32) - b), 0))

    def decode(message: Any) -> np.ndarray:
        data = bytes(message.data)
        form = message.format.lower().replace("jpg", "jpeg") or _format(data)
        if camera.encoding.lower() not in form or "rvl" in form:
            raise ValueError(f"an image of format {message.format or _format(data)!r}")
        return depth(data) if camera.depth else np.asarray(cv2.cvtColor(unpack(data), cv2.COLOR_BGR2RGB))

    return decode


def _format(data: bytes) -> str:
    """The format of a message that names none, as some drivers leave it empty, by the first of its bytes."""
    if data[: len(JPEG)] == JPEG:
        return "jpeg"
    return ("16uc1; png" if data[24:25] == b"\x10" else "png") if data[: len(PNG)] == PNG else "unknown"


def encode(camera: Camera, pixels: np.ndarray) -> tuple[str, np.ndarray]:
    """The inverse: format and bytes of a message with these pixels; JPEG loses a little."""
    cv2 = opencv("compressed images")
    if not camera.depth:
        _, data = cv2.imencode(f".{camera.encoding}", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        return f"rgb8; {camera.encoding} compressed bgr8", data.reshape(-1)
    header, depth = DEPTH_HEADER.pack(0, *INVERSE), pixels[..., 0].astype(np.float64)
    if camera.encoding == "16UC1":
        steps = depth * 1000
    else:
        steps = np.where(depth > 0, INVERSE[0] / np.maximum(depth, NEAREST) + INVERSE[1], 0)
    _, data = cv2.imencode(".png", np.rint(steps).clip(0, 65535).astype(np.uint16))
    return f"{camera.encoding}; compressedDepth png", np.concatenate(
        [np.frombuffer(header, np.uint8), data.reshape(-1)]
    )


def png_header(data: bytes) -> tuple[int, int, int]:
    """Width, height and bits a channel; `ValueError` where the file is no PNG or is cut off."""
    if data[:8] != PNG or data[12:16] != b"IHDR" or len(data) < 33:
        raise ValueError("bytes that are no PNG")
    if b"IEND" not in data[-64:]:
        raise ValueError("a PNG that is cut off")
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"), max(8, data[24])


def jpeg_header(data: bytes) -> tuple[int, int, int]:
    """Width, height and bits a channel; `ValueError` where the file is no JPEG or is cut off."""
    if data[:2] != JPEG:
        raise ValueError("bytes that are no JPEG")
    at, size = 2, None
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in FRAME_HEADERS:
            size = (
                int.from_bytes(data[at + 7 : at + 9], "big"),
                int.from_bytes(data[at + 5 : at + 7], "big"),
                data[at + 4],
            )
        if marker == SCAN:
            break
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    if size is None:
        raise ValueError("bytes that are no JPEG: its header is damaged")
    if data.find(END, at) < 0:
        raise ValueError("a JPEG that is cut off")
    return size
