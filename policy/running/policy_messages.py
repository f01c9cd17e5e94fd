"""A frame as the observation that a served policy takes, and its answer as set-points of ours.

rows of 15 Hz     |-------o-------o-------o-------o      state at 0, row i at (i + 1) / 15 s
set-points, 20 Hz |-----x-----x-----x-----x-----x        between them, in a straight line
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from policy.errors import InputError
from policy.robot import continuous
from policy.robot.opencv import opencv
from policy.running.policy_mapping import Key, Picture, PolicyMapping
from policy.spec import Spec


def observation(mapping: PolicyMapping, spec: Spec, feed: dict[str, np.ndarray]) -> dict[str, Any]:
    """What the policy takes, from the inputs that `PolicyMapping.spec` reads, B = 1."""
    message: dict[str, Any] = {}
    for name, picture in mapping.cameras.items():
        _put(message, picture.key, _pixels(feed[f"image_{name}"][0], picture))
    for values in mapping.state:
        ours = feed["state"][0, [spec.state.index(name) for name in values.names]]
        theirs = np.asarray(values.scale) * ours + np.asarray(values.offset)
        _put(message, values.key, theirs.astype(np.float32))
    _put(message, mapping.prompt, str(feed["prompt"][0]))
    for name, key in (("stamp", mapping.stamp), ("instruction_id", mapping.instruction_id)):
        if key is not None:
            _put(message, key, int(feed[name][0]))
    if mapping.committed is not None:
        _put(message, mapping.committed, feed["committed"][0, : int(feed["committed_steps"][0])])
    return message


def outputs(
    mapping: PolicyMapping, spec: Spec, answer: dict[str, Any], state: np.ndarray, turns: Mapping[str, float]
) -> dict[str, np.ndarray]:
    """What `Spec.outputs` describes, B = 1, from an answer to a frame of a state (S,).

    Positions of joints that turn without end, by `turns` of the contract, go on from the state, which has counted on.
    `InputError` for an answer of another shape, and for one that holds anything but finite numbers.
    """
    rows = _numbers(answer, mapping.actions.key, (mapping.horizon, mapping.actions.width))
    actions = np.empty((mapping.horizon, len(spec.action)))
    for group in mapping.actions.groups:
        ours = np.asarray(group.scale) * rows[:, list(group.columns)] + np.asarray(group.offset)
        if group.kind != "absolute":
            begin = state[[spec.state.index(name) for name in group.names]]
            ours = begin + (np.cumsum(ours, axis=0) if group.kind == "step" else ours)
        else:
            for column, name in zip(ours.T, group.names, strict=True):
                if turn := turns.get(name, 0.0):
                    begin, by = state[[spec.state.index(name)]].astype(float), np.array([turn])
                    column[:] = continuous.counted_on(column[:, None], begin, by)[:, 0]
        actions[:, [spec.action.index(name) for name in group.names]] = ours
    named = {"actions": _at_rate(actions, mapping.rate, spec, state)[None].astype(np.float32)}
    if not np.isfinite(named["actions"]).all():
        raise InputError("got actions beyond what float32 holds, expected units of the mapping")
    if mapping.execution_estimate is not None:
        shape = spec.outputs()["execution_estimate"][1]
        named["execution_estimate"] = _numbers(answer, mapping.execution_estimate, shape)[None].astype(np.float32)
    return named


def _at_rate(rows: np.ndarray, rate: float, spec: Spec, state: np.ndarray) -> np.ndarray:
    """Rows (h, A) of another rate as rows (H, A) of the spec's."""
    if rate == spec.rate:
        return rows
    begin = [rows[0, i] if place is None else state[place] for i, place in enumerate(spec.action_base)]
    given = np.vstack([begin, rows])
    theirs, ours = np.arange(len(given)) / rate, np.arange(1, spec.horizon + 1) / spec.rate
    return np.stack([np.interp(ours, theirs, column) for column in given.T], axis=1)


def _numbers(answer: dict[str, Any], key: Key, shape: tuple[int, ...]) -> np.ndarray:
    """Finite numbers of a shape, float64; `InputError` for everything else."""
    path, found = (key,) if isinstance(key, str) else key, answer
    for part in path:
        if not isinstance(found, dict) or part not in found:
            keys = ", ".join(map(str, found))[:200] if isinstance(found, dict) else type(found).__name__
            raise InputError(f"got an answer with {keys or 'no keys'}, expected {'.'.join(path)}")
        found = found[part]
    try:
        values = np.asarray(found)
    except ValueError:  # lists of different lengths
        values = np.empty(0, object)
    if values.dtype.kind not in "iuf" or values.shape != shape:
        raise InputError(f"got {'.'.join(path)} of {values.dtype} {values.shape}, expected numbers {shape}")
    if not np.isfinite(values).all():
        raise InputError(f"got {'.'.join(path)} with values that are not finite numbers")
    return values.astype(float)


def _pixels(image: np.ndarray, picture: Picture) -> np.ndarray:
    if picture.height is not None and picture.width is not None:
        image = resized(image, picture.height, picture.width)
    return np.ascontiguousarray(image.transpose(2, 0, 1)) if picture.channels_first else image


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture (h, w, 3) at another size, with bars of black on both sides where the shapes differ."""
    h, w, channels = image.shape
    if (h, w) == (height, width):
        return image
    cv2, ratio = opencv("pictures of another size"), min(height / h, width / w)
    inner = max(1, round(h * ratio)), max(1, round(w * ratio))
    smaller = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
    full = np.zeros((height, width, channels), image.dtype)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    full[top : top + inner[0], left : left + inner[1]] = cv2.resize(image, inner[::-1], interpolation=smaller)
    return full


def _put(message: dict[str, Any], key: Key, value: Any) -> None:
    """Set what a key, or a path of keys, leads to."""
    path = (key,) if isinstance(key, str) else key
    for part in path[:-1]:
        message = message.setdefault(part, {})
    message[path[-1]] = value
