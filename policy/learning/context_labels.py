"""The tracker's inputs for training: what a robot's tracker might hold at each frame of a recording.

    bag           A: forward ........|B: rollback ... advance ... forward .............
    contact              ____________ ______                           _______
    previous      A, or another at   |A                           until here|B
                  the very beginning |

On the robot (policy.running.tracker) all of this is up to one inference interval old and sometimes wrong; so it is
here. Letters as in policy/spec.py, and N frames, E episodes.
"""

import math
from itertools import pairwise
from typing import Protocol

import numpy as np

from policy.errors import InputError
from policy.robot.contract import Contract
from policy.spec import MODES, RuntimeSettings
from policy.switching.demonstration import fill_gaps

START_S = 1.6  # s at the start of an episode in which there may be another previous instruction
OTHER_PROBABILITY = 0.5  # that there is one there; otherwise it is the current one, in other words
HIDDEN_PROBABILITY = 0.1  # that the previous instruction is not known: a policy is to look, too
WRONG_PROBABILITY = 0.15  # that contact is wrong: the policy reads its own estimate, which must not sustain itself
DONE_S = 0.6  # s at the end of an episode in which it is done
NONE = -1


class Recorded(Protocol):
    """What is read of policy.data.cache.Cache."""

    contract: Contract
    state: np.ndarray  # (N, S)
    contact: np.ndarray | None  # (N,) bool
    mode: np.ndarray  # (N,) into MODES
    episode: np.ndarray  # (N,)
    bounds: np.ndarray  # (E + 1,)
    incomplete: np.ndarray  # (E,) bool
    bags: list[str]  # (E,)


def execution_targets(cache: Recorded) -> np.ndarray:
    """Targets of the execution estimate, float32 (N, 5): contact, done, one-hot mode; `InputError` without contact."""
    contact, _ = _contact(cache)
    left = np.repeat(cache.bounds[1:], np.diff(cache.bounds)) - np.arange(len(contact))
    done = (left <= round(DONE_S * cache.contract.spec.rate)) & ~cache.incomplete[cache.episode]
    modes = np.arange(len(MODES)) == cache.mode[:, None]
    return np.concatenate([contact[:, None], done[:, None], modes], 1).astype(np.float32)


class ContextLabels:
    """Inputs of the execution state for all frames of a cache, as old as the policy's `runtime` lets them become.

    `InputError` without contact in the bags.
    """

    def __init__(self, cache: Recorded, runtime: RuntimeSettings) -> None:
        self.contact, self.first = _contact(cache)
        frames, rate = len(self.contact), cache.contract.spec.rate
        self.cache, self.start_steps = cache, round(START_S * rate)
        # The tracker's inputs are up to one interval old. It drops the previous instruction once the estimates of
        # `confirm_s` agree; the first of them comes up to one interval late, and so does the inference after the last.
        self.interval = max(1, round(runtime.replan_s * rate))
        confirm = math.ceil(runtime.confirm_s / runtime.replan_s) * self.interval
        self.kept = confirm, confirm + 2 * self.interval + 1
        begins = self.contact & ~np.roll(self.contact, 1)
        begins |= self.contact & (self.first == np.arange(frames))
        # (N,) frame in which the current contact began
        self.onset = np.where(self.contact, np.maximum.accumulate(np.where(begins, np.arange(frames), 0)), NONE)
        episodes = range(len(cache.bags))
        self.switched = np.array([e > 0 and cache.bags[e] == cache.bags[e - 1] for e in episodes])
        ends = [self._ends(e, begins) for e in episodes]
        self.free, self.next_onset = np.array([free for free, _ in ends]), np.array([onset for _, onset in ends])

    def _ends(self, e: int, begins: np.ndarray) -> tuple[int, int]:
        """Frames in which an episode is free of the previous instruction, and in which its first contact begins."""
        begin, end = int(self.cache.bounds[e]), int(self.cache.bounds[e + 1])
        free = np.flatnonzero((self.cache.mode[begin:end] == 0) & ~self.contact[begin:end])
        onsets = np.flatnonzero(begins[begin:end])
        return begin + int(free[0]) if len(free) else end, begin + int(onsets[0]) if len(onsets) else end

    def draw(self, indices: np.ndarray, windows: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Possible tracker inputs for B frames of some windows (B,).

        previous_instruction (B,), an episode of that instruction; contact (B, 1); contact_origin (B, S). How old the
        inputs are is drawn for each frame. What a tracker holds while an instruction is followed is drawn once for the
        frames of one window and one episode: drawn anew in each, a memory would average it out.
        """
        indices = np.asarray(indices)
        episode = self.cache.episode[indices]
        pairs, which = np.unique(np.stack([windows, episode], 1), axis=0, return_inverse=True)
        which, count = which.reshape(-1), len(pairs)
        earliest = np.full(count, len(self.contact))
        np.minimum.at(earliest, which, indices)
        before = np.maximum(indices - rng.integers(1, self.interval + 1, len(indices)), self.first[indices])
        in_contact = self.contact[before] & (before < indices)
        late = np.minimum(self.onset[before] + rng.integers(0, self.interval, count)[which], before)
        wrong = (rng.random(count) < WRONG_PROBABILITY)[which]
        # origin of a contact that is wrongly estimated, from before the window on
        earlier = rng.integers(self.first[earliest], earliest + 1)[which]
        origin = np.where(in_contact, late, np.where(wrong, earlier, indices))
        return {
            "previous_instruction": self._previous(indices, pairs[:, 1], which, rng),
            "contact": (in_contact ^ wrong).astype(np.float32)[:, None],
            "contact_origin": self.cache.state[origin],
        }

    def _previous(
        self, indices: np.ndarray, drawn: np.ndarray, which: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """An episode (B,) whose instruction is the previous one, drawn once for each of G episodes `drawn` (G,).

        `which` (B,) of them a frame is of.
        """
        e, n = drawn[which], len(drawn)
        dropped = self.free[drawn] + rng.integers(*self.kept, n)
        until = np.minimum(dropped, self.next_onset[drawn] + rng.integers(1, self.interval + 1, n))
        known = rng.random(n) >= HIDDEN_PROBABILITY
        switched = self.switched[e] & (indices < until[which]) & known[which]
        start = np.minimum(self.cache.bounds[e] + self.start_steps, self.next_onset[e])
        possible = ~self.switched[e] & ~self.cache.incomplete[e] & (indices < start)
        other = rng.random(n) < OTHER_PROBABILITY
        others = rng.integers(0, len(self.cache.bags), n)
        previous: np.ndarray = np.where(switched, e - 1, np.where(possible & other[which], others[which], e))
        return previous


def _contact(cache: Recorded) -> tuple[np.ndarray, np.ndarray]:
    """Contact without short gaps (N,) bool, and the first frame (N,) of the bag of each."""
    if cache.contact is None:
        raise InputError(
            "some bags give no contact, which a switching policy learns from: no label, no "
            "gripper in the contract, no efforts in their joint states; mark the gripper in the "
            "contract (gripper: true), or train a recipe that does not switch"
        )
    contact, first = np.zeros(len(cache.contact), bool), np.zeros(len(cache.contact), np.int64)
    starts = [e for e in range(len(cache.bags)) if e == 0 or cache.bags[e] != cache.bags[e - 1]]
    for e, following in pairwise([*starts, len(cache.bags)]):
        begin, end = int(cache.bounds[e]), int(cache.bounds[following])
        first[begin:end] = begin
        contact[begin:end] = fill_gaps(cache.contact[begin:end])
    return contact, first
