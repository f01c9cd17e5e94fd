"""Pictures as browsers get them: JPEG, no wider than a screen shows them."""

import cv2
import numpy as np

WIDEST = 480  # pixels
QUALITY = 80  # of JPEG


def jpeg(picture: np.ndarray) -> bytes:
    """RGB uint8 (H, W, 3) as JPEG, made smaller where it is wide."""
    height, width = picture.shape[:2]
    if width > WIDEST:
        picture = cv2.resize(picture, (WIDEST, round(height * WIDEST / width)), interpolation=cv2.INTER_AREA)
    done, packed = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert done, f"OpenCV cannot pack a picture of shape {picture.shape}"
    return bytes(packed)
