"""Training samples of a cache: a frame, the H set-points from it on, and the frames before it; and their statistics.

recording    frame  frame  frame | frame  frame          | another instruction is given
commands     ....................................        the target of action i is the set-point in force at its
targets             1   2   3   4 x   x                  time; none where another instruction was in force
"""

from itertools import pairwise

import numpy as np

from policy.data.cache import Cache
from policy.data.pictures import Pictures
from policy.data.runs import FOREVER
from policy.robot import setpoints


class Windows:
    """Training samples of N frames.

    Past the end of its recording an episode goes on with its last set-point: the robot holds. Where the instruction
    changed, or the recording ends on the way, the mask is False.
    """

    def __init__(self, cache: Cache, horizon: int) -> None:
        self.cache, self.horizon = cache, horizon
        self.targets, self.learnt = targets(cache, horizon)  # (N, H, A), (N, H)

    def __len__(self) -> int:
        return len(self.cache.state)

    def batch(
        self, indices: np.ndarray, rng: np.random.Generator, shift: int, frames: int = 1
    ) -> dict[str, np.ndarray]:
        """Samples: image_<camera> (B, h, w, 3), state (B, S), actions (B, H, A), mask (B, H), episode (B,).

        Each image moves by up to `shift` pixels in both directions, its edge repeated; those of `frames` samples in a
        row alike, as they are one window.
        """
        cache, indices = self.cache, np.asarray(indices)
        out = self.images("image", indices, rng, shift, frames)
        return out | {
            "state": cache.state[indices],
            "actions": self.targets[indices],
            "mask": self.learnt[indices],
            "episode": cache.episode[indices],
        }

    def images(
        self, prefix: str, indices: np.ndarray, rng: np.random.Generator, shift: int, frames: int = 1
    ) -> dict[str, np.ndarray]:
        """The images of frames (B,) as in `batch`, named <prefix>_<camera>."""
        return {
            f"{prefix}_{name}": _shifted(
                images, indices, rng.integers(-shift, shift + 1, (len(indices) // frames, 2)).repeat(frames, 0)
            )
            for name, images in self.cache.images.items()
        }

    def before(
        self, indices: np.ndarray, steps: np.ndarray, stride: int, even: bool = False
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The frames about `steps` (B, T) of 1/rate before each (B,), across the instructions of its recording.

        Steps fall, about `stride` apart, to 0. A frame stands in a window once: where one is missing, a memory that
        runs takes the next. Rows (B, T) int64; whether a frame stands there (B, T), the nearest one's row where not,
        before all that do; and whether it has no past (B, T): nothing is before it, or what is is so old that a memory
        that runs forgets it, too. With `even`, for what compares frames, none stands for a missing one, and what comes
        after it has no past.
        """
        cache, indices, steps = self.cache, np.asarray(indices), np.asarray(steps)
        dt = cache.contract.spec.dt_ns
        reach, most = max(3 * dt // 4, stride * dt // 2), 2 * stride * dt + dt // 2
        if even:
            reach, most = 3 * dt // 4, 3 * stride * dt // 2
        first = np.searchsorted(cache.recording, cache.recording[indices])
        rows = np.repeat(indices[:, None], steps.shape[1], 1).astype(np.int64)
        there, alone = np.zeros(rows.shape, bool), np.ones(rows.shape, bool)
        for b, (begin, index) in enumerate(zip(first.tolist(), indices.tolist(), strict=True)):
            stamps = cache.stamps[begin : index + 1]
            times = stamps[-1] - dt * steps[b]
            after = np.clip(np.searchsorted(stamps, times), 1, max(1, len(stamps) - 1))
            nearer = after - (2 * times < stamps[after - 1] + stamps[np.minimum(after, len(stamps) - 1)])
            nearest = np.minimum(nearer, len(stamps) - 1)
            near = (np.abs(stamps[nearest] - times) <= reach) & (times > stamps[0] - 3 * dt // 4)
            found = np.unique(nearest[near])
            part = slice(len(times) - len(found), len(times))
            rows[b, : part.start], rows[b, part] = begin + found[0], begin + found
            there[b, part] = True
            alone[b, part] = np.diff(stamps[found], prepend=stamps[0] - most - 1) > most
        return rows, there, alone


def targets(cache: Cache, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Set-points (N, H, A) float32: action i of frame t is the one in force at its time; (N, H) bool: whether there is.

    A withdrawn instruction goes on with the set-point in force when it was withdrawn.
    """
    dt = cache.contract.spec.dt_ns
    until, incomplete = cache.until[cache.episode], cache.incomplete[cache.episode]
    last = cache.stamps[cache.bounds[1:] - 1][cache.episode]
    frames = cache.stamps[:, None] + dt * np.arange(horizon)  # those in which the actions would be the first
    end = np.where(until < FOREVER, until, last + dt // 2)
    mask = ((frames < end[:, None]) | ~incomplete[:, None]) & (frames < _imitated_until(cache)[:, None])
    times = np.minimum(frames + dt, np.where(incomplete, FOREVER, until)[:, None])
    actions = np.empty((len(cache.stamps), horizon, len(cache.contract.spec.action)), np.float32)
    bounds = np.searchsorted(cache.recording, np.arange(len(cache.commands) + 1))
    for commands, first, after in zip(cache.commands, bounds[:-1], bounds[1:], strict=True):
        actions[first:after] = setpoints.join(commands, times[first:after])
    return actions, mask


def _imitated_until(cache: Cache) -> np.ndarray:
    """The time (N,) ns of the first frame from each on that is not imitated; FOREVER where all of its recording are."""
    until = np.where(cache.imitated, FOREVER, cache.stamps)
    for first, after in pairwise(np.searchsorted(cache.recording, np.arange(len(cache.commands) + 1)).tolist()):
        until[first:after] = np.minimum.accumulate(until[first:after][::-1])[::-1]
    return until


def statistics(cache: Cache) -> dict[str, np.ndarray]:
    """Means and deviations that normalise a policy, float32.

    state_mean, state_std (S,); delta_mean, delta_std (H, A) of actions[t + i] - state[t], the measurement of each
    action (`Spec.action_base`), 0 where there is none; action_min, action_max (A,).
    """
    spec = cache.contract.spec
    actions, mask = targets(cache, spec.horizon)
    state = np.asarray(cache.state, np.float64)
    known = np.array([place is not None for place in spec.action_base])
    commanded = state[:, [place or 0 for place in spec.action_base]] * known
    deltas = [(actions[:, i] - commanded)[mask[:, i]] for i in range(spec.horizon)]
    for i in range(spec.horizon):  # where no episode is so long, as at the last step that is learned
        deltas[i] = deltas[i] if len(deltas[i]) else deltas[i - 1] if i else np.zeros((1, len(spec.action)))
    values = {
        "state_mean": state.mean(0),
        "state_std": state.std(0),
        "delta_mean": [delta.mean(0) for delta in deltas],
        "delta_std": [delta.std(0) for delta in deltas],
        "action_min": cache.actions.min(0),
        "action_max": cache.actions.max(0),
    }
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


def _shifted(images: Pictures, indices: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Copies of images moved by (dy, dx) each, the edge repeated."""
    h, w = images.shape[1:3]
    out = np.empty((len(indices), *images.shape[1:]), images.dtype)
    for to, index, (dy, dx) in zip(out, indices.tolist(), offsets.tolist(), strict=True):
        top, bottom, left, right = max(0, -dy), min(h, h - dy), max(0, -dx), min(w, w - dx)
        to[top:bottom, left:right] = images[index][top + dy : bottom + dy, left + dx : right + dx]
        to[top:bottom, :left] = to[top:bottom, left : left + 1]
        to[top:bottom, right:] = to[top:bottom, right - 1 : right]
        to[:top] = to[top]
        to[bottom:] = to[bottom - 1]
    return out
