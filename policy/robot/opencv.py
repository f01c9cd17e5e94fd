"""OpenCV, which only contracts with packed or large pictures need."""

from typing import Any

from policy.errors import InputError


def opencv(what: str) -> Any:
    """The module; `InputError` where it is not installed."""
    try:
        import cv2
    except ImportError:
        raise InputError(
            f"this contract has {what}, which OpenCV reads, and it is not here; "
            "install it with `pip install opencv-python`"
        ) from None
    return cv2
