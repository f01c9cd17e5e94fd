"""Which pictures of a camera equal the one before: a driver that hangs repeats its last."""

from zlib import crc32

import numpy as np

from policy.data.bag_reader import Pictures, Take

COARSE = 4  # every fourth pixel of every fourth row is compared


class UnchangedPictures:
    """Looks at the pictures that `take` hands on."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._last: dict[str, int] = {}
        self._equal: dict[str, bytearray] = {}

    def take(self, pictures: Pictures) -> None:
        """The pictures of one frame."""
        self._take(pictures)
        for camera, image in pictures.items():
            mark = crc32(image[::COARSE, ::COARSE].tobytes())
            self._equal.setdefault(camera, bytearray()).append(self._last.get(camera) == mark)
            self._last[camera] = mark

    def unchanged(self) -> dict[str, np.ndarray]:
        """Camera -> bool (N,), of all pictures so far."""
        return {camera: np.frombuffer(bytes(equal), np.uint8).astype(bool) for camera, equal in self._equal.items()}
