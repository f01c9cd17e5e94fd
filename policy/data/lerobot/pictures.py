"""The pictures of an episode, one frame at a time: PNG or JPEG in its rows, or frames of an mp4."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from policy.data.bag_reader import Pictures
from policy.data.lerobot.description import Description
from policy.data.lerobot.episodes import Clip
from policy.data.lerobot.packages import package
from policy.data.lerobot.rows import Rows
from policy.errors import InputError
from policy.robot.opencv import opencv

COPY = "copy the data set again, or take it away"


def pictures(described: Description, rows: Rows, cameras: dict[str, str]) -> Iterator[Pictures]:
    """The pictures of each frame by camera, uint8 (height, width, 3) RGB; `cameras`: name -> feature.

    `InputError` where one is missing, does not decode or has another size than the features say.
    """
    kinds, place = described.pictures(), rows.place
    packed = {name: feature for name, feature in cameras.items() if kinds[feature] == "image"}
    clips = {name: feature for name, feature in cameras.items() if kinds[feature] == "video"}
    streams = {name: video_frames(place.clips[feature], place.length, described.fps) for name, feature in clips.items()}
    unpacked = _unpacked(rows, packed)
    for number in range(place.length):
        found = next(unpacked) if packed else {}
        found |= {name: next(stream) for name, stream in streams.items()}
        for name, feature in cameras.items():
            if found[name].shape != described.shape(feature):
                height, width = found[name].shape[:2]
                raise InputError(
                    f"{feature} of episode {place.number}, frame {number} in {described.root} is {width}x{height}, and "
                    f"meta/info.json says {described.shape(feature)[1]}x{described.shape(feature)[0]}; {COPY}"
                )
        yield {name: found[name] for name in cameras}


def video_frames(clip: Clip, count: int, fps: float) -> Iterator[np.ndarray]:
    """`count` frames of an mp4 from the clip's beginning on; `InputError` where they are not all there."""
    av, done = package("av"), 0
    try:
        with av.open(str(clip.path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            container.seek(max(0, int(clip.begin / stream.time_base)), stream=stream)
            for frame in container.decode(stream):
                at = frame.time - clip.begin
                if at < -0.5 / fps:  # between the key frame and the episode
                    continue
                if abs(at - done / fps) > 0.5 / fps:
                    break
                yield frame.to_ndarray(format="rgb24")
                done += 1
                if done == count:
                    return
    except FileNotFoundError:
        raise InputError(f"{clip.path} is not there, and the data set names it; {COPY}") from None
    except (av.FFmpegError, IndexError, OSError, ValueError, OverflowError, TypeError) as error:  # a time beyond all
        raise InputError(f"{clip.path} cannot be decoded ({error}); {COPY}") from None
    raise InputError(
        f"{clip.path} has {done} frames at {fps:g} Hz from {clip.begin:.3f} s on, and the episode has {count}; {COPY}"
    )


def _unpacked(rows: Rows, features: dict[str, str]) -> Iterator[dict[str, np.ndarray]]:
    """The pictures that are in the rows."""
    cv2, number = opencv("pictures in a LeRobot data set"), 0
    for batch in rows.batches(list(features.values())) if features else ():
        for i in range(len(next(iter(batch.values())))):
            where = f"frame {number} of episode {rows.place.number} in {rows.place.data}"
            yield {name: _decoded(cv2, batch[feature][i], f"{feature}, {where}") for name, feature in features.items()}
            number += 1


def _decoded(cv2: Any, packed: Any, where: str) -> np.ndarray:
    """A picture {bytes, path} of LeRobot's dtype "image"."""
    data = packed.get("bytes") if isinstance(packed, dict) else None
    if not data:
        raise InputError(f"{where} has no bytes, expected a PNG or JPEG; {COPY}")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # a header of a size that no picture has
        image = None
    if image is None:
        raise InputError(f"{where}: {len(data)} bytes that do not decode, expected a PNG or JPEG; {COPY}")
    return np.ascontiguousarray(image[..., ::-1])  # OpenCV gives BGR


def encoded(image: np.ndarray) -> bytes:
    """A picture (height, width, 3) RGB as a PNG."""
    cv2 = opencv("pictures in a LeRobot data set")
    _, data = cv2.imencode(".png", image[..., ::-1])
    return bytes(data)
