"""What the server sends: JSON texts, and pictures as one byte for the camera and then JPEG."""

import json
import math
from typing import Any

import numpy as np

from console.backend import Points, State

DIGITS = 4  # of positions [rad, m] and times [s]


def text(kind: str, **fields: Any) -> str:
    """A message; what is no finite number is null."""
    return json.dumps({"type": kind, **fields}, separators=(",", ":"), allow_nan=False)


def picture(index: int, jpeg: bytes) -> bytes:
    """A picture of the camera with this index."""
    return bytes([index]) + jpeg


def state(now: State, count: int, age: float, near: list[str]) -> str:
    """A state that is `age` seconds old; `near` are sentences that a refusal names."""
    return text(
        "state",
        number=count,
        age=round(age, 2),
        time=round(now.time, 3),
        instruction=now.instruction,
        serves=now.serves,
        following=now.following,
        completed=now.completed,
        unfinished=now.unfinished,
        mode=now.mode,
        contact=number(now.contact),
        done=number(now.done),
        finished=now.finished,
        holding=now.holding,
        idle=now.idle,
        refused=now.refused,
        near=near,
        stopped=now.stopped,
        corrected=now.corrected,
        faults=now.faults,
        executed=None if now.executed is None else numbers(now.executed),
        committed=_points(now.committed),
        planned=_points(now.planned),
        paths={camera: rows(path) for camera, path in (now.paths or {}).items()},
        figures=dict(now.figures or {}),
        judged=now.judged,
        scene=None if now.scene is None else dict(now.scene),
    )


def numbers(values: np.ndarray) -> list[float | None]:
    """(N,) rounded, null where it is not finite."""
    return [round(value, DIGITS) if math.isfinite(value) else None for value in values.tolist()]


def rows(values: np.ndarray) -> list[list[float | None]]:
    """(N, M) as `numbers`."""
    return [numbers(row) for row in values]


def _points(points: Points) -> dict[str, Any]:
    return {"times": numbers(points.times), "values": rows(points.values)}


def number(value: float | None) -> float | None:
    """Rounded, None where it is not finite."""
    return round(value, DIGITS) if value is not None and math.isfinite(value) else None
