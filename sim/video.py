"""Episodes as H.264 video that every browser plays, with a line of text below the picture."""

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from policy import folders

RATE = 20  # frames per second: the control rate, so a film of every step runs in real time
THEN = "free space or give another --out; nothing of this film is left"
STEPS = 2  # control steps a frame in films of evaluations: to render one takes longer than the rest of a step


class Video:
    """`with Video(path) as film: film.add(image, text)`; the file appears when it is complete.

    `InputError` where it cannot be written, as on a full disk: then nothing of it is left. `rate`: frames per second.
    """

    def __init__(self, path: Path, rate: int = RATE) -> None:
        self._path, self._part = path, path.with_suffix(".part.mp4")
        with folders.writing(path, THEN):
            self._container: Any = av.open(str(self._part), "w", options={"movflags": "faststart"})
        self._stream: Any = self._container.add_stream("libx264", rate, {"crf": "23", "preset": "veryfast"})

    def __enter__(self) -> "Video":
        return self

    def add(self, image: np.ndarray, text: str) -> None:
        """Add a frame: uint8 (height, width, 3) RGB with `text` below it."""
        self.show(caption(image, text))

    def show(self, picture: np.ndarray) -> None:
        """Add a frame without text: uint8 (height, width, 3) RGB, both even."""
        if not self._stream.codec_context.is_open:
            self._stream.height, self._stream.width = picture.shape[:2]
            self._stream.pix_fmt = "yuv420p"  # the one that every browser decodes
        packets = self._stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24"))
        with folders.writing(self._path, THEN):
            self._container.mux(packets)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with folders.writing(self._path, THEN) if kind is None else suppress(OSError):
                if kind is None:
                    self._container.mux(self._stream.encode())
                self._container.close()
                if kind is None:
                    self._part.replace(self._path)
        finally:
            self._part.unlink(missing_ok=True)


def caption(image: np.ndarray, text: str) -> np.ndarray:
    """The image with a line of text on a dark bar below it; even height and width, as H.264 requires."""
    height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    size = max(12, width // 22)
    bar = (size * 2) // 2 * 2
    picture = Image.new("RGB", (width, height + bar), (22, 24, 29))
    picture.paste(Image.fromarray(image[:height, :width]), (0, 0))
    font = ImageFont.load_default(size)
    while font.getlength(text) > width - size and size > 8:  # smaller letters for a long sentence
        size -= 1
        font = ImageFont.load_default(size)
    ImageDraw.Draw(picture).text((width / 2, height + bar / 2), text, (240, 240, 240), font, anchor="mm")
    return np.asarray(picture)
