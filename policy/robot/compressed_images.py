"""JPEG and PNG -> RGB, whole or not at all: what a header promises is checked before anything is decoded.

The pixels are those of the sensor: an EXIF tag that asks a viewer to turn the image is not followed, as
sensor_msgs/msg/Image knows none.
"""

from collections.abc import Callable

import numpy as np

from policy.errors import InputError
from policy.robot.sources import Camera

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
FRAME_HEADERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of a JPEG that hold its size
SCAN, END = 0xDA, b"\xff\xd9"


def decoder(camera: Camera) -> Callable[[bytes], np.ndarray]:
    """Bytes -> uint8 (height, width, 3) RGB, `ValueError` with what arrived; `InputError` without OpenCV."""
    try:
        import cv2
    except ImportError:
        raise InputError(
            "this contract has compressed images, which OpenCV decodes, and it is not here; "
            "install it with `pip install opencv-python`"
        ) from None

    def decode(data: bytes) -> np.ndarray:
        width, height, bits = png_header(data) if camera.encoding == "png" else jpeg_header(data)
        if (width, height) != (camera.width, camera.height):
            raise ValueError(f"an image of {width}x{height}")
        if bits != 8:
            raise ValueError(f"an image of {bits} bits a channel, not 8")
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        except cv2.error as error:
            raise ValueError(f"bytes that do not decode ({error.err})") from None
        if image is None or image.shape[:2] != (height, width):
            raise ValueError("bytes that do not decode")
        return np.ascontiguousarray(image[..., ::-1])  # OpenCV gives BGR

    return decode


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
